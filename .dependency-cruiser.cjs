// The layers of ARCHITECTURE.md: a folder may import only folders named for it here (and itself). Tests may import anything.
const layers = {
  errors: [],
  bounds: [],
  random: [],
  statistics: ['random'],
  protocol: [],
  auth: ['errors', 'bounds'],
  telemetry: ['errors'],
  schedule: ['errors'],
  storage: ['errors', 'bounds', 'telemetry'],
  native: ['errors', 'random'],
  spec: ['errors', 'protocol', 'schedule'],
  rpc: ['errors', 'bounds', 'protocol', 'telemetry', 'schedule', 'storage', 'auth'],
  data: ['errors', 'bounds', 'random', 'protocol', 'telemetry', 'storage', 'native', 'spec', 'rpc'],
  client: ['errors', 'protocol', 'auth', 'rpc', 'data'],
  interchange: ['errors', 'storage', 'telemetry'],
  scaling: ['errors', 'protocol', 'rpc'],
  work: ['errors', 'bounds', 'protocol', 'telemetry', 'storage', 'rpc'],
  nn: ['errors', 'random'],
  graph: ['bounds', 'nn', 'random'],
  engine: ['bounds', 'graph', 'nn', 'native', 'random'],
  collectives: ['errors', 'bounds', 'engine'],
  training: ['errors', 'protocol', 'storage', 'native', 'data', 'nn', 'engine'],
};
const tests = '\\.test\\.ts$';

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    ...Object.entries(layers).map(([name, below]) => ({
      name: `${name}-imports-only-below`,
      severity: 'error',
      from: { path: `^libs/${name}/`, pathNot: tests },
      to: { path: '^(libs|services|test)/', pathNot: `^libs/(${[name, ...below].join('|')})/` },
    })),
    {
      name: 'services-talk-through-protos',
      severity: 'error',
      from: { path: '^services/([^/]+)/', pathNot: tests },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'rooms-of-a-service-api-and-worker-apart',
      severity: 'error',
      from: { path: '^services/([^/]+)/(api|worker)/', pathNot: tests },
      to: { path: '^services/$1/(api|worker)/', pathNot: '^services/$1/$2/' },
    },
    {
      name: 'rooms-of-a-service-shared-one-below',
      severity: 'error',
      from: { path: '^services/([^/]+)/(run|evaluation)/', pathNot: tests },
      to: { path: '^services/$1/(api|worker)/' },
    },
    { name: 'product-never-imports-tests', severity: 'error', from: { path: '^(libs|services)/', pathNot: tests }, to: { path: '^test/' } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^@tensorflow/tfjs-node' } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|libs/native/build)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['source', 'import', 'node', 'default'],
      extensions: ['.ts', '.tsx', '.js', '.mjs', '.cjs'],
    },
  },
};
