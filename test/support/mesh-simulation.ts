/**
 * Executes the programs of all members of a mesh without a network, in any order that a network allows: a transfer whose two sides have begun may move its
 * values at any later time.
 */
import assert from 'node:assert/strict';
import { type MeshProgram, type Place, SCRATCH } from '#collectives/mesh-program.js';

export interface SimulatedMember {
  readonly program: MeshProgram;
  readonly arrays: readonly Float32Array[];
}

interface Side {
  readonly values: Float32Array;
  done: boolean;
}

/** Runs all to their ends. `choose(n)` gives a whole number from 0 to n - 1. Fails if they wait for each other, or a transfer has no other side. */
export function simulate(members: readonly SimulatedMember[], choose: (n: number) => number): void {
  const waiting = new Map<string, { sends: Side[]; receives: Side[] }>();
  const moving: { from: Side; to: Side }[] = [];
  const states = members.map(({ program, arrays }, rank) => ({
    rank,
    program,
    arrays: [...arrays],
    scratch: new Float32Array(program.scratch).fill(Number.NaN),
    next: 0,
    sides: [] as Side[],
  }));
  type State = (typeof states)[number];

  const view = ({ arrays, scratch }: State, { array, offset }: Place, count: number): Float32Array => {
    const whole = array === SCRATCH ? scratch : arrays[array];
    assert.ok(whole !== undefined && offset >= 0 && count > 0 && offset + count <= whole.length, 'a place is outside its array');
    return whole.subarray(offset, offset + count);
  };
  const meet = (key: string, kind: 'send' | 'receive', side: Side) => {
    const both = waiting.get(key) ?? { sends: [], receives: [] };
    waiting.set(key, both);
    (kind === 'send' ? both.sends : both.receives).push(side);
    const [from, to] = [both.sends[0], both.receives[0]];
    if (from === undefined || to === undefined) return;
    both.sends.shift();
    both.receives.shift();
    moving.push({ from, to });
  };
  const step = (state: State): void => {
    const one = state.program.instructions[state.next++];
    assert.ok(one !== undefined);
    if (one.kind === 'send' || one.kind === 'receive') {
      const side = { values: view(state, one.place, one.count), done: false };
      state.sides.push(side);
      const [from, to] = one.kind === 'send' ? [state.rank, one.peer] : [one.peer, state.rank];
      meet(`${from} ${to} ${one.tag} ${one.count}`, one.kind, side);
    } else if (one.kind === 'add') {
      const [into, left, right] = [one.into, one.left, one.right].map((place) => view(state, place, one.count)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      for (let i = 0; i < one.count; i++) into[i] = (left[i] as number) + (right[i] as number);
    } else if (one.kind === 'copy') view(state, one.into, one.count).set(view(state, one.from, one.count));
  };
  const canStep = ({ program, next, sides }: State): boolean => {
    const one = program.instructions[next];
    return one !== undefined && (one.kind !== 'wait' || sides[one.transfer]?.done === true);
  };

  for (;;) {
    const able = states.filter(canStep);
    const choices = able.length + moving.length;
    if (choices === 0) break;
    const choice = choose(choices);
    const state = able[choice];
    if (state !== undefined) step(state);
    else {
      const [moved] = moving.splice(choice - able.length, 1);
      assert.ok(moved !== undefined);
      moved.to.values.set(moved.from.values);
      moved.from.done = true;
      moved.to.done = true;
    }
  }
  for (const { rank, next, program, sides } of states) {
    assert.equal(next, program.instructions.length, `member ${rank} waits for ever`);
    assert.ok(
      sides.every(({ done }) => done),
      `a transfer of member ${rank} has no other side`,
    );
  }
}
