/** npm run bench:exchange: the exchange of gradients beside Gloo's own all-reduce, in turns, between processes on this machine. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { collectivesAvailable, type ExchangePlan } from '#collectives/index.js';
import { contiguous } from '../support/exchange-cases.js';
import { MeshProcesses } from '../support/mesh-processes.js';
import { median, rounded } from './statistics.js';

const usage = `npm run bench:exchange -- [options]

  --members N      processes (default 2)
  --leaves N       leaves of the step (default 8)
  --elements N     floats of a gradient (default 5717416, which vit_tiny has)
  --blocks N       turns of each side (default 8)
  --rounds N       rounds of a turn (default 5)

The last line is one JSON object with the milliseconds of both and their ratio. A round is as long as its slowest member takes; the first turn of each
side is not counted. Builds Gloo's side with CMake at the first call.`;

const source = fileURLToPath(new URL('../../libs/collectives/native', import.meta.url));

function buildPeer(): string {
  const build = fileURLToPath(new URL('../../libs/native/build/collectives-bench', import.meta.url));
  mkdirSync(build, { recursive: true });
  const headers = fileURLToPath(new URL('../../node_modules/node-api-headers/include', import.meta.url));
  for (const args of [
    ['-S', source, '-B', build, '-DDROPSTREAM_BENCH=ON', `-DNODE_API_INCLUDE_DIR=${headers}`],
    ['--build', build, '--target', 'dropstream_gloo_all_reduce'],
  ]) {
    const { status, stdout, stderr } = spawnSync('cmake', args, { encoding: 'utf8', timeout: 300_000 });
    if (status !== 0) throw new Error(`cmake ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
  }
  return join(build, 'Release', 'dropstream_gloo_all_reduce');
}

/** Processes of Gloo's all-reduce. */
class Peer {
  readonly #members: { child: ChildProcessByStdio<Writable, Readable, null>; lines: AsyncIterator<string> }[];

  constructor(program: string, size: number, elements: number, folder: string) {
    this.#members = Array.from({ length: size }, (_, rank) => {
      const child = spawn(program, [rank, size, elements, folder].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
    });
  }

  /** Milliseconds by member and round. */
  turn(rounds: number): Promise<number[][]> {
    return Promise.all(
      this.#members.map(async ({ child, lines }) => {
        child.stdin.write(`${rounds}\n`);
        const { done, value } = await lines.next();
        if (done) throw new Error('a process of Gloo has ended');
        return value.trim().split(' ').map(Number);
      }),
    );
  }

  end(): void {
    for (const { child } of this.#members) child.stdin.end();
  }
}

/** By round: the time of the slowest member. */
const slowest = (members: number[][]) => (members[0] ?? []).map((_, round) => Math.max(...members.map((times) => times[round] as number)));
const shown = (times: readonly number[]) => times.map((time) => rounded(time)).join(' ');
const figures = (times: readonly number[]) => ({ best: rounded(Math.min(...times)), median: rounded(median(times)) });

async function main(size: number, leaves: number, elements: number, blocks: number, rounds: number): Promise<void> {
  const found = collectivesAvailable();
  if (!found.available) throw new Error(found.reason);
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-exchange-'));
  const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const peer = new Peer(buildPeer(), size, elements, folder);
    ends.push(() => peer.end());
    const processes = new MeshProcesses({ after: (end) => ends.push(end) });
    const members = Array.from({ length: size }, () => processes.start());
    await processes.connect(members);
    const plan: ExchangePlan = { leaves, held: contiguous(size, leaves), elements };
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let block = 0; block <= blocks; block++) {
      const [a, b] = [
        slowest(await peer.turn(rounds)),
        slowest(await Promise.all(members.map((member) => member.call('timeExchanges', { plan, rounds })))),
      ];
      console.log(`all-reduce ${shown(a)} ms; exchange ${shown(b)} ms`);
      if (block === 0) continue;
      theirs.push(...a);
      ours.push(...b);
    }
    const [gloo, exchange] = [figures(theirs), figures(ours)];
    const ratio = { best: rounded(exchange.best / gloo.best), median: rounded(exchange.median / gloo.median) };
    const machine = { processor: cpus()[0]?.model.trim(), threads: cpus().length };
    console.log(
      JSON.stringify({
        members: size,
        leaves,
        elements,
        megabytes: rounded((4 * elements) / 1e6),
        gloo: found.version,
        allReduceMs: gloo,
        exchangeMs: exchange,
        ratio,
        machine,
      }),
    );
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '2' },
    leaves: { type: 'string', default: '8' },
    elements: { type: 'string', default: '5717416' },
    blocks: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else await main(...([values.members, values.leaves, values.elements, values.blocks, values.rounds].map(Number) as Parameters<typeof main>));
