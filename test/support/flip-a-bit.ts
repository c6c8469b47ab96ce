/** Loaded into a process with --import: flips one bit of the weights after the 20th step that its programs make, as faulty memory does. */
import { Program } from '#engine/program.js';

const update = Program.prototype.update;
let steps = 0;

Program.prototype.update = async function (optimizer) {
  const result = await update.call(this, optimizer);
  if (++steps === 20) {
    const values = await this.read('weights', 'head.weight');
    const bits = new Uint32Array(values.buffer);
    bits[7] = (bits[7] as number) ^ (1 << 3);
    await this.write('weights', 'head.weight', values);
  }
  return result;
};
