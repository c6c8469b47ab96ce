/** Every kind of fixture, quick ones first. */
import type { ParitySource } from '../parity-case.js';
import { fill } from './fill.js';
import { models, modelsFull, trajectories } from './models.js';
import { blockRateTable, schedules } from './schedules.js';

export const sources: readonly ParitySource[] = [fill, schedules, blockRateTable, models, modelsFull, trajectories];

export const groupNames: readonly string[] = [...new Set(sources.map(({ group }) => group))];
