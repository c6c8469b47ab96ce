/**
 * The one table of what may lie in a store, and under which keys. Every kind of object has one row; `store check` reports what matches none. The rows
 * of a kind of object are tried in order.
 */
import { idPattern } from '#errors/resource-names.js';

/** What the parts of a key in braces look like, as sources of regular expressions. */
const parts = {
  project: bare(idPattern),
  id: bare(idPattern),
  collection: 'runs|schedules|evaluations',
  /** What has a log. */
  work: 'runs|evaluations',
  uid: '[0-9a-f]{32}',
  /** Eight digits: the number of an incarnation. */
  incarnation: '\\d{8}',
  /** Twelve digits: the sequence of a record, or the number of a revision. */
  number: '\\d{12}',
  seriesPart: 'blocks|chapters',
  checkpoint: '\\d{12}-[0-9a-f]{8}',
  part: '[a-z]+(?:-\\d+)?\\.[0-9a-f]{16}\\.safetensors',
  sha256: '[0-9a-f]{64}',
  group: '[0-9a-f]{2}',
  uuid: '[0-9a-f-]{36}',
  /** An id, in which '.' stands for '-', and a uid. */
  entry: '[a-z][a-z0-9.]{0,62}-[0-9a-f]{32}',
  /** Why a worker may take it, and its priority. */
  hint: '(?:claim|join)-\\d{4}',
  /** Milliseconds since 1970. */
  since: '\\d{13,16}',
  anything: '.+',
} as const;

const grammar = {
  incarnation: 'projects/{project}/{collection}/{id}/incarnations/{incarnation}.json',
  record: 'projects/{project}/{work}/{id}/{uid}/log/{number}',
  snapshot: 'projects/{project}/{work}/{id}/{uid}/log-snapshots/{number}',
  heartbeat: 'projects/{project}/{work}/{id}/{uid}/heartbeats/{number}',
  series: 'projects/{project}/runs/{id}/{uid}/series/{seriesPart}/{number}',
  checkpointManifest: 'projects/{project}/runs/{id}/{uid}/checkpoints/{checkpoint}/manifest.json',
  checkpointPart: 'projects/{project}/runs/{id}/{uid}/checkpoints/{checkpoint}/{part}',
  pin: 'projects/{project}/runs/{id}/{uid}/checkpoint-pins/{checkpoint}/{holderUid=uid}',
  revision: 'projects/{project}/schedules/{id}/{uid}/revisions/{number}.json',
  acknowledgement: 'projects/{project}/schedules/{id}/{uid}/revisions/{number}.ack',
  index: 'projects/{project}/index/{collection}/{entry}',
  dataLocation: 'projects/{project}/manifests/{sha256}',
  noneOf01: 'projects/{project}/none-of-01/schedules',
  runQueue: 'run-queue/{project}/{entry}',
  evaluationQueue: 'evaluation-queue/{project}/{entry}',
  runWaiting: 'run-waiting/{hint}/{project}/{entry}_{since}',
  evaluationWaiting: 'evaluation-waiting/{hint}/{project}/{entry}_{since}',
  lookMark: '{queue=waitingQueue}/looked',
  dataManifest: 'manifests/{sha256}',
  sharedLocation: 'manifest-locations/{sha256}',
  image: 'datasets/objects/{group}/{sha256}',
  probe: 'probe-{uuid}',
  of01Run: 'projects/{project}/runs/{id}/{folder=of01}/{anything}',
  of01Schedule: 'projects/{project}/schedules/{id}/revisions/{anything}',
  of01Evaluation: 'projects/{project}/evaluations/{id}/{folder=of01}/{anything}',
  of01Index: 'projects/{project}/{index=of01Index}/{anything}',
  of01Queue: 'queue/{work}/{project}/{id}',
} as const;

const named: Readonly<Record<string, string>> = {
  ...parts,
  of01: 'log|log-snapshots|heartbeats|checkpoints|checkpoint-pins',
  of01Index: 'run-index|evaluation-index',
  waitingQueue: 'run-waiting|evaluation-waiting',
};

export type ObjectKind = keyof typeof grammar;

export interface ParsedKey {
  readonly kind: ObjectKind;
  readonly key: string;
  /** The values of the key's parts, by the names in braces. */
  readonly parts: Readonly<Record<string, string>>;
}

const rows = Object.entries(grammar).map(([kind, pattern]) => ({ kind: kind as ObjectKind, match: compile(pattern) }));

/** The kind of object that a key belongs to; undefined for a key that no part of Dropstream writes. */
export function parseKey(key: string): ParsedKey | undefined {
  for (const { kind, match } of rows) {
    const found = match.exec(key);
    if (found) return { kind, key, parts: { ...found.groups } };
  }
  return undefined;
}

/** True for an object in the layout of version 0.1. */
export const isOf01 = (kind: ObjectKind): boolean => kind.startsWith('of01');

function compile(pattern: string): RegExp {
  const source = pattern.replaceAll('.', '\\.').replaceAll(/\{(\w+)(?:=(\w+))?\}/g, (_, name: string, type: string = name) => {
    const part = named[type];
    if (part === undefined) throw new Error(`the key grammar has no part ${type}`);
    return `(?<${name}>${part})`;
  });
  return new RegExp(`^${source}$`);
}

function bare({ source }: RegExp): string {
  return source.replace(/^\^/, '').replace(/\$$/, '');
}
