/** Every kind of fixture, quick ones first. */
import type { ParitySource } from '../parity-case.js';
import { augment } from './augment.js';
import { fill } from './fill.js';
import { loss } from './loss.js';
import { mix } from './mix.js';
import { models, modelsFull, trajectories } from './models.js';
import { normalisation } from './normalisation.js';
import { optimizer } from './optimizer.js';
import { blockRateTable, schedules } from './schedules.js';
import { statistics } from './statistics.js';
import { tables } from './tables.js';

export const sources: readonly ParitySource[] = [
  fill,
  schedules,
  blockRateTable,
  optimizer,
  loss,
  mix,
  normalisation,
  augment,
  ...tables,
  statistics,
  models,
  modelsFull,
  trajectories,
];

export const groupNames: readonly string[] = [...new Set(sources.map(({ group }) => group))];
