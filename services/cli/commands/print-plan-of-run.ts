/** `dropstream train --dry_run`: the trainer resolves and checks the spec, and this machine measures what the run would cost. */
import { Run, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { Context } from '../context.js';
import { planLines } from '../plan/print-plan.js';
import { runCost } from '../plan/run-cost.js';
import { runPlan } from '../plan/run-plan.js';
import type { TrainRequest } from '../train-spec.js';
import { printJson, projectName, type SharedOptions, withClient } from './shared-options.js';

/** Prints the plan without storing a run. @throws InvalidArgument with every value that the trainer refuses */
export async function printPlan(
  { spec, world }: TrainRequest,
  given: SharedOptions & { readonly run_id?: string },
  context: Context,
): Promise<void> {
  const request = { parent: projectName(given), runId: given.run_id ?? '', spec, requestId: '', validateOnly: true };
  const { run } = await withClient(TrainerServiceClient, 'trainer', given, context, (client, call) => client.createRun(request, call));
  const plan = runPlan(run!, world);
  context.terminal.status('measuring a few steps');
  const cost = await runCost(run!.spec!, context.signal);
  context.terminal.status('');
  if (given.json) printJson(context, { ...plan, cost: { ...cost, seconds: cost.secondsPerStep * plan.totalSteps }, run: Run.toJSON(run!) });
  else for (const line of planLines(plan, cost)) context.terminal.out(line);
}
