export { collectivesAvailable } from './addon.js';
export { copyState } from './copy-state.js';
export { exchange } from './exchange.js';
export { connectMesh } from './gloo-mesh.js';
export { CollectivesAbsent, type Mesh, MeshAborted, MeshFailed, type MeshOptions, type RendezvousStore } from './mesh.js';
export { type ExchangePlan, keyOf } from './plan.js';
