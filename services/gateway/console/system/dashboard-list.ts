/** The dashboards of deploy/grafana/dashboards: uid, and the word on the link. */
export const dashboards = [
  ['dropstream-overview', 'Overview'],
  ['dropstream-run', 'Runs'],
  ['dropstream-data-path', 'Data path'],
  ['dropstream-store', 'Store'],
  ['dropstream-grpc', 'gRPC'],
  ['dropstream-scaling', 'Scaling'],
] as const;
