/** What concerns every page: the gateway does not answer, or it wants a token. */
import { useEffect, useState } from 'preact/hooks';
import { connection } from '../api/connection.js';
import { enterToken, tokenWanted } from '../api/token.js';
import { ago, clock } from '../format/time.js';
import { useStore } from '../widgets/store.js';

export function AwayBanner() {
  const { awaySince } = useStore(connection);
  const [now, setNow] = useState(new Date());
  useEffect(() => {
    if (awaySince === undefined) return;
    const timer = setInterval(() => setNow(new Date()), 1000);
    return () => clearInterval(timer);
  }, [awaySince]);
  if (awaySince === undefined) return null;
  return (
    <div class="banner" role="alert">
      {/* Screen readers would say every second. */}
      The gateway has not answered since {clock(awaySince)} <span aria-hidden="true">({ago(awaySince, now)})</span>. Runs go on without it.
      The page tries again by itself.
    </div>
  );
}

export function TokenForm() {
  const why = useStore(tokenWanted);
  if (why === '') return null;
  return (
    <form
      class="token-form card"
      onSubmit={(event) => {
        event.preventDefault();
        enterToken(String(new FormData(event.currentTarget).get('token') ?? '').trim());
      }}
    >
      <h1>Who are you?</h1>
      <p>This gateway answers callers that have a token. The token stays in this tab and is forgotten when you close it.</p>
      <p class="muted">{why}</p>
      <label>
        Token
        <input name="token" type="password" autocomplete="off" required spellcheck={false} />
      </label>
      <div class="buttons">
        <button type="submit" class="primary">
          Go on
        </button>
      </div>
    </form>
  );
}
