/** The head of every page: where one is, where one can go, and whether the gateway answers. */
import { connection } from '../api/connection.js';
import { enterToken, token } from '../api/token.js';
import { Brand } from '../widgets/icons.js';
import { useStore } from '../widgets/store.js';
import { link, type Route } from './route.js';

const places = [
  { title: 'Runs', path: 'runs', pages: ['runs', 'run'] },
  { title: 'Compare', path: 'compare', pages: ['compare'] },
  { title: 'Schedules', path: 'schedules', pages: ['schedules', 'schedule'] },
  { title: 'Data', path: 'data', pages: ['data'] },
  { title: 'System', path: 'system', pages: ['system'] },
] as const;

export function Header({ route }: { readonly route: Route }) {
  const { awaySince } = useStore(connection);
  const signedIn = useStore(token) !== '';
  return (
    <header class="header">
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <a class="brand" href={link(`${route.project}/runs`)}>
        <Brand />
        <span>Dropstream</span>
      </a>
      <nav aria-label="Pages">
        {places.map(({ title, path, pages }) => (
          <a
            key={path}
            href={link(`${route.project}/${path}`)}
            aria-current={(pages as readonly string[]).includes(route.page) ? 'page' : undefined}
          >
            {title}
          </a>
        ))}
      </nav>
      <div class="header-end">
        <ProjectField project={route.project} />
        <span class={`live ${awaySince === undefined ? 'live-on' : 'live-off'}`} role="status">
          {awaySince === undefined ? 'connected' : 'no answer'}
        </span>
        {signedIn && (
          <button type="button" class="quiet" onClick={() => enterToken('')}>
            Forget token
          </button>
        )}
        <a class="button primary" href={link(`${route.project}/new-run`)}>
          New run
        </a>
      </div>
    </header>
  );
}

function ProjectField({ project }: { readonly project: string }) {
  const id = project.replace(/^projects\//, '');
  return (
    <label class="project">
      <span>Project</span>
      <input
        key={id}
        defaultValue={id}
        size={Math.max(8, id.length)}
        spellcheck={false}
        onChange={(event) => {
          const wanted = event.currentTarget.value.trim();
          if (wanted !== '') location.hash = link(`projects/${wanted}/runs`);
        }}
      />
    </label>
  );
}
