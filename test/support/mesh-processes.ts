/** Members of meshes as real processes, and the store through which they meet. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { collectivesAvailable } from '#collectives/index.js';
import type { MemberCommands } from './mesh-member.js';
import { sourceFlags } from './processes.js';
import { until } from './until.js';

/** Why tests with Gloo do not run here; undefined if they do. */
export function whyNoGloo(): string | undefined {
  const found = collectivesAvailable();
  return found.available ? undefined : `no Gloo: ${found.reason}`;
}

/** What a command of a member ended with. */
export interface MemberFailure extends Error {
  readonly peer?: number;
}

export interface Member {
  readonly process: ChildProcess;
  /** Resolves when the member has done some exchanges of exchangeUntilItFails. */
  readonly exchanging: () => Promise<unknown>;
  call<Name extends keyof MemberCommands>(command: Name, ...argument: Parameters<MemberCommands[Name]>): ReturnType<MemberCommands[Name]>;
}

/** Processes that can be connected to meshes, again and again. All end with the test. */
export class MeshProcesses {
  readonly #members: Member[] = [];
  readonly #store = new Map<string, Uint8Array>();
  #waiting: { key: string; answer: (value: Uint8Array) => void }[] = [];
  #meshes = 0;

  constructor(t: { after(end: () => unknown): void }) {
    t.after(() => this.end());
  }

  start(): Member {
    const child = fork(fileURLToPath(new URL('./mesh-member.ts', import.meta.url)), { execArgv: sourceFlags, serialization: 'advanced' });
    const calls = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
    let next = 0;
    let exchanging = withResolvers();
    child.on('message', (message: Message) => {
      if ('store' in message) this.#serve(child, message);
      else if ('event' in message) exchanging.resolve(undefined);
      else {
        const call = calls.get(message.id);
        calls.delete(message.id);
        if ('error' in message) call?.reject(Object.assign(new Error(message.error.message), message.error));
        else call?.resolve(message.result as never);
      }
    });
    child.on('exit', (code, signal) => {
      for (const { reject } of calls.values()) reject(new Error(`the member ended with ${code ?? signal}`));
    });
    const member: Member = {
      process: child,
      exchanging: () => exchanging.promise,
      call: (command, ...[argument]) => {
        if (command === 'exchangeUntilItFails') exchanging = withResolvers();
        return new Promise((resolve, reject) => {
          calls.set(next, { resolve, reject });
          child.send({ command, id: next++, argument });
        }) as never;
      },
    };
    this.#members.push(member);
    return member;
  }

  /** Connects these members, in the order of their ranks. */
  async connect(
    members: readonly Member[],
    { connectTimeoutMs = 30_000, transferTimeoutMs = 60_000, size = members.length } = {},
  ): Promise<void> {
    const name = `mesh-${this.#meshes++}`;
    await Promise.all(members.map((member, rank) => member.call('connect', { name, rank, size, connectTimeoutMs, transferTimeoutMs })));
  }

  /** Resolves when a member has left this key. */
  async hasLeft(key: string): Promise<void> {
    await until(key, () => this.#store.has(key));
  }

  async end(): Promise<void> {
    for (const { process } of this.#members) {
      if (process.exitCode !== null || process.signalCode !== null) continue;
      process.kill('SIGKILL');
      await once(process, 'exit');
    }
  }

  #serve(child: ChildProcess, { store, key, value, call }: StoreCall): void {
    const answer = (found: Uint8Array) => void (child.connected && child.send({ answer: call, value: found }));
    if (store === 'get') {
      const found = this.#store.get(key);
      if (found === undefined) this.#waiting.push({ key, answer });
      else answer(found);
      return;
    }
    this.#store.set(key, value);
    answer(value);
    for (const one of this.#waiting) if (one.key === key) one.answer(value);
    this.#waiting = this.#waiting.filter((one) => one.key !== key);
  }
}

interface StoreCall {
  readonly store: 'get' | 'set';
  readonly key: string;
  readonly value: Uint8Array;
  readonly call: number;
}
type Message =
  | StoreCall
  | { readonly event: string }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: MemberFailure };

function withResolvers() {
  let resolve: (value: unknown) => void = () => {};
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
