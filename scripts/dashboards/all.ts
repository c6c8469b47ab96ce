import type { Dashboard } from './dashboard.js';
import { dataPath } from './data-path.js';
import { grpc } from './grpc.js';
import { overview } from './overview.js';
import { run } from './run.js';
import { scaling } from './scaling.js';
import { store } from './store.js';

export const dashboards: readonly Dashboard[] = [overview, run, dataPath, store, grpc, scaling];
