export { CollectivesAbsent, type Mesh, MeshAborted, MeshFailed, type MeshOptions, type RendezvousStore } from './mesh.js';
export { type ExchangePlan, keyOf } from './plan.js';
