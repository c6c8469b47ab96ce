import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contiguous } from '../support/exchange-cases.js';
import { exchangeSeconds, type Network, predictedSeconds } from './exchange-network.js';

const network: Network = { bytesPerSecond: 118e6, latency: 100e-6, perTransfer: 20e-6, addsPerSecond: 1.5e9 };

test('an exchange takes as long as the cost model of docs/scaling.md says, in virtual time', () => {
  for (const elements of [5_717_416, 86_567_656])
    for (const size of [1, 2, 3, 4, 5, 8, 13, 16]) {
      const plan = { leaves: 16, held: contiguous(size, 16), elements };
      const ratio =
        size === 1
          ? exchangeSeconds(plan, network) * (network.addsPerSecond / elements)
          : exchangeSeconds(plan, network) / predictedSeconds(plan, network);
      assert.ok(ratio > 0.8 && ratio < 1.35, `${size} members, ${elements} floats: ${ratio}`);
    }
});

test('a faster network makes it faster, and latency counts by messages that wait for each other, not by pieces', () => {
  const plan = { leaves: 8, held: contiguous(4, 8), elements: 5_717_416 };
  const seconds = exchangeSeconds(plan, network);
  assert.ok(exchangeSeconds(plan, { ...network, bytesPerSecond: 2 * network.bytesPerSecond }) < 0.6 * seconds);
  assert.ok(exchangeSeconds(plan, { ...network, latency: 10e-3 }) - seconds < 8 * 10e-3);
});
