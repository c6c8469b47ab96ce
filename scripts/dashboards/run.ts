import { type Dashboard, lines, mean, orZero, quantile, query } from './dashboard.js';

const legend = '{{project}}/{{run}}';
const chosen = '{project=~"$project", run=~"$run"}';
const ofRun = (metric: string) => query(legend, `dropstream_run_${metric}${chosen}`);

export const run: Dashboard = {
  id: 'run',
  title: 'Runs',
  description: 'What runs learn and how they get on. The series of a run end with the run; its log keeps everything.',
  choices: [
    { label: 'project', of: 'dropstream_run_step' },
    { label: 'run', of: 'dropstream_run_step{project=~"$project"}' },
  ],
  rows: [
    {
      title: 'Learning',
      panels: [
        lines('Training loss', 'short', [ofRun('loss')], { description: 'Of the newest step.' }),
        lines('Top-1', 'percentunit', [ofRun('top1_ratio')], { description: 'Of the newest evaluated checkpoint.' }),
        lines('Drop rate', 'percentunit', [ofRun('drop_rate')], { min: 0 }),
        lines('Learning rate', 'short', [ofRun('learning_rate')]),
        lines('Weight decay', 'short', [ofRun('weight_decay')]),
        lines('Gradient norm', 'short', [ofRun('gradient_norm')], { description: 'Global L2 norm before clipping.' }),
      ],
    },
    {
      title: 'Progress',
      panels: [
        lines('Steps done', 'short', [ofRun('step')]),
        lines('Since the last step', 's', [query(legend, `time() - dropstream_run_last_step_timestamp_seconds${chosen}`)], {
          description: 'Grows where a run is stuck.',
          min: 0,
        }),
        lines('Since the last checkpoint', 's', [query(legend, `time() - dropstream_run_last_checkpoint_timestamp_seconds${chosen}`)], {
          description: 'What a lost worker would have to compute again.',
          min: 0,
        }),
        lines('Seconds of a step', 's', [
          query('median', quantile(0.5, 'dropstream_trainer_step_seconds')),
          query('95 %', quantile(0.95, 'dropstream_trainer_step_seconds')),
        ]),
        lines('Time that waits for data', 'percentunit', [query('share of time', 'dropstream:trainer_data_wait:ratio_rate10m')], {
          min: 0,
        }),
        lines('Seconds of a checkpoint', 's', [
          query('snapshot to commit', mean('dropstream_trainer_checkpoint_seconds')),
          query('training stood still', mean('dropstream_trainer_checkpoint_stall_seconds')),
        ]),
      ],
    },
    {
      title: 'Workers',
      panels: [
        lines('Memory of the engine', 'bytes', [ofRun('engine_bytes')]),
        lines('Memory on the GPU', 'bytes', [query(legend, orZero(`dropstream_run_gpu_bytes${chosen}`))], {
          description: 'Runs on the CPU have none.',
        }),
        lines('Attempts that ended in an hour', 'short', [
          query('{{outcome}}', 'sum by (outcome) (increase(dropstream_trainer_attempts_total[1h]))'),
        ]),
        lines('Seconds of a step on the GPU', 's', [query('mean', orZero(`(${mean('dropstream_trainer_gpu_step_seconds')}) > 0`))]),
        lines('Evaluations of checkpoints that ended in an hour', 'short', [
          query('{{outcome}}', 'sum by (outcome) (increase(dropstream_trainer_evaluations_total[1h]))'),
        ]),
        lines('Runs that a worker left to others in an hour', 'short', [
          query('other numerics', 'sum(increase(dropstream_trainer_exact_runs_left_total[1h]))'),
          query('no such engine here', 'sum(increase(dropstream_trainer_runs_without_engine_total[1h]))'),
        ]),
      ],
    },
  ],
};
