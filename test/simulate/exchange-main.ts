/** npm run simulate:exchange: the table of docs/scaling.md, for networks that are not here. */
import type { ExchangePlan } from '#collectives/index.js';
import { contiguous } from '../support/exchange-cases.js';
import { exchangeSeconds, type Network, predictedSeconds } from './exchange-network.js';

const models = [
  ['vit_tiny', 5_717_416],
  ['vit_base', 86_567_656],
  ['vit_large', 304_326_632],
] as const;
const members = [2, 3, 4, 8, 16];
/** perTransfer and addsPerSecond are those of one core of the machine of docs/performance.md. */
const machine = { perTransfer: 20e-6, addsPerSecond: 1.5e9 };
const networks: readonly [string, Network][] = [
  ['1 Gb/s, 100 µs', { ...machine, bytesPerSecond: 118e6, latency: 100e-6 }],
  ['10 Gb/s, 50 µs', { ...machine, bytesPerSecond: 1.18e9, latency: 50e-6 }],
  ['100 Gb/s, 20 µs', { ...machine, bytesPerSecond: 11.8e9, latency: 20e-6 }],
];

const shown = (seconds: number) => (seconds < 0.1 ? `${(seconds * 1000).toPrecision(2)} ms` : `${seconds.toPrecision(2)} s`);

console.log(
  `| model | network | ${members.map((size) => `${size} workers`).join(' | ')} |\n|---|---|${members.map(() => '---:|').join('')}`,
);
for (const [model, elements] of models)
  for (const [name, network] of networks) {
    const cells = members.map((size) => {
      const plan: ExchangePlan = { leaves: 16, held: contiguous(size, 16), elements };
      return `${shown(exchangeSeconds(plan, network))} (${shown(predictedSeconds(plan, network))})`;
    });
    console.log(`| ${model} | ${name} | ${cells.join(' | ')} |`);
  }
