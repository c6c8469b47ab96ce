/**
 * Which process made a claim. Whoever supervises a worker names every process that it starts, and tells the next one which of its predecessors have
 * ended. Their work is then taken over at once: no clock has to run out for what is known. Safety does not depend on it, because a claim is still a
 * record that only one of several claimants can append.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { z } from 'zod';

/** Names of processes have no colon, so that the name can be told from the rest of an owner. */
const instanceName = z.string().regex(/^[A-Za-z0-9._-]{1,100}$/, '1 to 100 characters of A-Z a-z 0-9 . _ -');

/** Options of every service that works on claims. */
export const instanceOptions = {
  instance: {
    schema: instanceName.or(z.literal('')).default(''),
    help: 'name of this process in the claims that it makes, different for every start; empty: its host and process id',
  },
  succeeds: {
    schema: z.array(instanceName).max(64).default([]),
    help: 'names of processes that are known to have ended: their work is taken over at once, without waiting for the lease to run out',
    list: true,
  },
  exitWhenIdle: {
    schema: z.coerce.number({ error: 'a number' }).min(0).max(86_400).default(0),
    help: 'seconds without any claimed work after which a process with the role worker stops and exits with 0; 0: never',
  },
} as const;

/** Name of this process: that of its option, or its host and process id. */
export const processName = (instance: string): string => instance || `${hostname()}:${process.pid}`;

/** The owner that a new claim names: the process, and a part of its own for each claim. */
export const newOwner = (instance: string): string => `${processName(instance)}:${randomBytes(6).toString('hex')}`;

/** The name of the process that made a claim. */
export const instanceOf = (owner: string): string => owner.slice(0, Math.max(0, owner.lastIndexOf(':')));
