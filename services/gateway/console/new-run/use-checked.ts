/** Asks the trainer, while one types, whether it would take the run, and what the run would be. */
import { useEffect, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import type { RequestOf } from '../api/methods.js';
import { RpcError } from '../api/rpc-error.js';

export interface Checked {
  /** The run with every default; undefined if it would be refused, or before the first answer. */
  readonly run: Json<Run> | undefined;
  /** What is wrong, by the name of the option; '' for what concerns no single one. */
  readonly problems: ReadonlyMap<string, string>;
  /** Why the trainer could not be asked. */
  readonly error: Error | undefined;
  /** Whether this is the answer about what is in the form now. */
  readonly current: boolean;
}

/** Typing is not interrupted by calls: they wait for a pause. */
const PAUSE_MS = 300;
const nothing: Checked = { run: undefined, problems: new Map(), error: undefined, current: false };

export function useChecked(request: RequestOf<'TrainerService/CreateRun'>): Checked {
  const [checked, setChecked] = useState<{ key: string; result: Checked }>({ key: '', result: nothing });
  const key = JSON.stringify(request);
  useEffect(() => {
    const end = new AbortController();
    const timer = setTimeout(() => {
      void check(request, end.signal).then((result) => {
        if (!end.signal.aborted) setChecked({ key, result });
      });
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [key]);
  return { ...checked.result, current: checked.key === key };
}

async function check(request: RequestOf<'TrainerService/CreateRun'>, signal: AbortSignal): Promise<Checked> {
  try {
    const { run } = await call('TrainerService/CreateRun', { ...request, validateOnly: true }, { signal });
    return { run, problems: new Map(), error: undefined, current: true };
  } catch (error) {
    return { run: undefined, ...problemsOf(error as Error), current: true };
  }
}

/** The violations of a refused request by option; other errors are shown as they are. */
export function problemsOf(error: Error): Pick<Checked, 'problems' | 'error'> {
  if (!(error instanceof RpcError) || error.violations.length === 0) return { problems: new Map(), error };
  return {
    problems: new Map(error.violations.map(({ field, description }) => [field.replace(/^spec\./, ''), description])),
    error: undefined,
  };
}

/** The models that a refusal names as the ones that exist. */
export function modelsIn(problems: ReadonlyMap<string, string>): string[] {
  return /must be one of (.+?)\.?$/.exec(problems.get('model') ?? '')?.[1]?.split(/,\s*/) ?? [];
}
