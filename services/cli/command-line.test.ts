import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { startLocalServices } from '../../test/support/local-services.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { until as lookFor } from '../../test/support/until.js';
import { readUpState, type UpState } from './addresses.js';
import { commandLineEntry, nodeOptions } from './service-entry.js';

const cli = (env: Readonly<Record<string, string>>, ...argv: string[]) => runCommandLine(argv, { env, cwd: tmpdir(), timeoutMs: 120_000 });

/** A command line as a process of its own. */
function cliProcess(env: Readonly<Record<string, string>>, ...argv: string[]) {
  const child = spawn(process.execPath, [...nodeOptions(), commandLineEntry, ...argv], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => lines.push(line));
  return { child, lines, exit: once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]> };
}

/** For a minute. */
const until = <T>(what: string, find: Parameters<typeof lookFor<T>>[1]): Promise<T> => lookFor(what, find, { looks: 1200, pauseMs: 50 });

const small =
  '--model vit_nano_p7 --batch_size 60 --lr 3e-3 --warmup-epochs 0 --warmup_steps 2 --aa= --color_jitter 0 --reprob 0 --mixup 0 --cutmix 0'.split(
    ' ',
  );

test('the command line against real services', async (t) => {
  const local = await startLocalServices();
  t.after(() => local.stop());
  const { env } = local;
  const images = join(local.folder, 'data', (await readdir(join(local.folder, 'data')))[0]!);
  // Only the home folder is known, as after `dropstream up`: addresses and store come from its up.json.
  const home = { DROPSTREAM_HOME: env.DROPSTREAM_HOME! };
  const trainOne = (...argv: string[]) =>
    cli(home, 'train', '--data_path', images, ...small, '--dropout', '0.1', '--drop-mode', 'early', '--cutoff_epoch', '1', ...argv);

  await t.test('train indexes, trains, shows the epoch table and ends with 0', async () => {
    const { code, err } = await trainOne('--run_id', 'first', '--epochs', '2');
    assert.equal(code, 0, err);
    assert.match(err, /training images: 600 in 10 classes; evaluation images: 100/);
    assert.match(
      err,
      /epoch +loss +lr +drop rate +images\/s +top-1\n +1 +[\d.]+ +[\d.]+ +0\.1 +[\d,]+(?: +[\d.]+ %)?\n(?:training has ended; waiting for the evaluations\n)? +2 .*%/,
    );
    assert.match(err, /runs\/first is SUCCEEDED/);
  });

  await t.test('runs are listed, shown and watched', async () => {
    // A list shows runs as they were at most 5 s ago (docs/clients.md).
    const list = await until('the end of the run to be listed', async () => {
      const now = await cli(home, 'runs', 'list');
      return !/QUEUED|RUNNING/.test(now.out) && now;
    });
    assert.match(list.out, /^RUN +STATE +MODEL +STEP +OF +BEST TOP-1 +AGE +WHY\nfirst +SUCCEEDED +vit_nano_p7 +20 +20 +[\d.]+ %/);
    assert.match((await cli(home, 'runs', 'get', 'first')).out, /drop +dropout 0\.1, early, constant, cutoff_epoch 1/);
    const watched = await cli(home, 'runs', 'watch', 'first', '--json');
    const events = watched.out.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      events.map((event) => Number(event.sequence)),
      Array.from(events, (_, k) => k + 1),
    );
    assert.ok(events.some((event) => event.steps) && events.some((event) => event.evaluation));
  });

  await t.test('checkpoints are listed, shown and evaluated', async () => {
    const list = JSON.parse((await cli(home, 'checkpoints', 'list', 'first', '--json')).out) as {
      name: string;
      files: { sha256: string }[];
    }[];
    assert.equal(list.length, 2);
    assert.match((await cli(home, 'checkpoints', 'get', 'first/latest')).out, /step +20\n[\s\S]*weights .* sha256 [0-9a-f]{64}\n +file:/);
    const { code, out, err } = await cli(home, 'evaluate', 'first', '--batch_size', '32');
    assert.equal(code, 0, err);
    assert.match(out, /^OF +TOP-1 +TOP-5 +LOSS\nweights +[\d.]+ % +[\d.]+ % +[\d.]+$/);
    assert.match(err, /step 20, 100 images/);
  });

  await t.test('a command that is repeated goes on with its run and completes its logs', async () => {
    const [folder, board] = [join(local.folder, 'results'), join(local.folder, 'board')];
    const line = ['--output_dir', folder, '--log_dir', board, '--epochs', '2', '--model_ema', 'true', '--model_ema_eval', 'true'];
    const once = await trainOne(...line);
    assert.equal(once.code, 0, once.err);
    const log = await readFile(join(folder, 'log.txt'), 'utf8');
    const lines = log
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text) as Record<string, number>);
    const keys =
      'train_lr train_min_lr train_loss train_class_acc train_weight_decay train_dropout train_grad_norm test_loss test_acc1 test_acc5 epoch n_parameters test_loss_ema test_acc1_ema test_acc5_ema';
    assert.deepEqual(
      lines.map((one) => Object.keys(one).join(' ')),
      [keys, keys],
    );
    assert.deepEqual(
      lines.map(({ epoch, train_dropout: rate }) => [epoch, Number(rate?.toFixed(9))]),
      [
        [0, 0.1],
        [1, 0],
      ],
    );
    const [events = ''] = await readdir(board);
    const bytes = await readFile(join(board, events));

    const again = await trainOne(...line);
    assert.equal(again.code, 0, again.err);
    assert.match(again.err, /run run-\w+ continues at step 20 of 20 steps/);
    const { run } = JSON.parse(await readFile(join(folder, 'run.json'), 'utf8')) as { run: string };
    await rm(join(folder, 'log.txt'));
    const watched = await cli(home, 'runs', 'watch', run, '--output-dir', folder, '--log_dir', board);
    assert.equal(watched.code, 0, watched.err);
    assert.equal(await readFile(join(folder, 'log.txt'), 'utf8'), log);
    assert.deepEqual(await readFile(join(board, events)), bytes);

    const runs = (await cli(home, 'runs', 'list')).out.split('\n').length;
    await writeFile(join(local.folder, 'log.txt'), '{}\n');
    assert.equal((await trainOne('--epochs', '2', '--output_dir', local.folder)).code, 5, 'a log of something else');
    assert.equal((await cli(home, 'runs', 'list')).out.split('\n').length, runs, 'refused before a run is created');
    assert.equal((await trainOne(...line, '--auto_resume', 'false')).code, 5);
    assert.equal((await trainOne(...line, '--smoothing', '0')).code, 5, 'another spec is another run');
    assert.equal((await cli(home, 'runs', 'watch', 'first', '--output-dir', folder)).code, 5);
  });

  await t.test('train --eval scores a checkpoint and trains nothing', async () => {
    const before = (await cli(home, 'runs', 'list')).out.split('\n').length;
    const evaluate = (...argv: string[]) => cli(home, 'train', '--model', 'vit_nano_p7', '--eval', 'true', ...argv);
    const { code, out, err } = await evaluate(
      '--resume',
      'first/latest',
      '--data_path',
      images,
      '--batch_size',
      '32',
      '--dist_eval',
      'false',
    );
    assert.equal(code, 0, err);
    assert.equal(out, (await cli(home, 'evaluate', 'first/latest', '--batch_size', '32')).out);
    assert.match(err, /--dist_eval is ignored[\s\S]*evaluation images: 100 in 10 classes/);
    const file = join(local.folder, 'weights.safetensors');
    assert.equal((await cli(home, 'checkpoints', 'export', 'first/latest', '--out', file)).code, 0);
    const scored = await evaluate('--resume', file, '--data_path', images, '--imagenet_default_mean_and_std', 'true');
    assert.equal(scored.code, 0, scored.err);
    assert.equal(scored.out, out);
    assert.equal((await evaluate('--resume', 'first/latest', '--model', 'vit_tiny')).code, 2, 'a checkpoint of another model');
    assert.equal((await evaluate('--resume', '/nowhere/x.pth', '--data_path', images)).code, 4);
    assert.equal((await cli(home, 'runs', 'list')).out.split('\n').length, before);
  });

  await t.test('a dry run prints the plan and stores no run', async () => {
    const runs = async () => (await cli(home, 'runs', 'list')).out.split('\n').map((row) => row.split(' ')[0]);
    const before = await runs();
    const line = ['--epochs', '4', '--world', '2', '--dry_run'];
    const { code, out, err } = await trainOne(...line);
    assert.equal(code, 0, err);
    assert.match(
      out,
      /total batch +120: 2 micro-batches \(update_freq 1 · world 2\) of 60\nsteps +5 in each epoch, 20 in 4 epochs\ndropout /,
    );
    assert.match(out, /\nmemory +[\d.]+ MB.*\ntime +about .*\n +measured here/);
    const plan = JSON.parse((await trainOne(...line, '--json')).out) as {
      totalBatch: number;
      cost: { seconds: number };
      curves: unknown[];
    };
    assert.deepEqual([plan.totalBatch, plan.curves.length, plan.cost.seconds > 0], [120, 3, true]);
    assert.equal((await trainOne(...line, '--world', '11')).code, 2, 'more than there is');
    assert.deepEqual(await runs(), before);
    const alone = await cli(
      { DROPSTREAM_HOME: join(local.folder, 'nobody') },
      'train',
      '--data_path',
      images,
      ...small,
      '--epochs',
      '4',
      '--dry_run',
    );
    assert.equal(alone.code, 0, alone.err);
    assert.match(alone.err, /no trainer service is running: starting services for this plan/);
    assert.match(alone.out, /steps +10 in each epoch, 40 in 4 epochs/);
  });

  await t.test('exit codes say what was wrong', async () => {
    assert.equal((await cli(home, 'runs', 'get', 'nope')).code, 4);
    assert.equal((await cli(home, 'runs', 'pause', 'first')).code, 5);
    assert.equal((await cli(home, 'evaluate', 'nope/latest')).code, 4);
    for (const option of ['--dropout', '--drop-path', '--seed'])
      assert.equal((await cli(home, 'evaluate', 'first/latest', option, '0')).code, 2, `${option} without --gradient-statistics`);
    assert.equal((await cli(home, 'nonsense')).code, 2);
    assert.equal((await cli(home, 'runs', 'get')).code, 2);
    assert.equal((await cli({}, 'runs', 'list')).code, 3, 'no address');
    assert.equal((await cli({ DROPSTREAM_TRAINER: '127.0.0.1:9' }, 'runs', 'list', '--timeout', '1')).code, 3, 'nobody there');
    const bad = await trainOne('--run_id', 'bad', '--epochs', '2', '--drop_path', '0.1', '--smoothing', '1');
    assert.equal(bad.code, 2);
    assert.match(bad.err, /\d values are not valid:\n(?=[\s\S]*smoothing)(?=[\s\S]*drop_path|dropout)/);
  });

  await t.test('schedules are created, changed, previewed and used', async () => {
    const spec = ['--rate', '0.2', '--mode', 'early', '--drop_schedule', 'linear', '--cutoff-epoch', '1'];
    assert.equal((await cli(home, 'schedule', 'create', 'falling', ...spec)).code, 0);
    const { code, err } = await cli(home, 'schedule', 'update', 'falling', '--rate', '0.3', '--etag', 'stale');
    assert.equal(code, 5, err);
    assert.match((await cli(home, 'schedule', 'update', 'falling', '--rate', '0.3')).out, /revision +2\n[\s\S]*rate +0\.3\n[\s\S]*LINEAR/);
    const preview = await cli(home, 'schedule', 'preview', ...spec, '--epochs', '2', '--steps-per-epoch', '10', '--samples', '0');
    assert.match(preview.out, /^FIRST STEP +LAST STEP +FORMULA +FROM +TO\n +0 +9 +LINEAR_TO_ZERO +0\.2 +0\n +10 +19 +CONSTANT +0 +0$/);
    const validated = await cli(
      home,
      'train',
      '--data_path',
      images,
      ...small,
      '--epochs',
      '2',
      '--schedule',
      'projects/default/schedules/falling',
      '--validate_only',
    );
    assert.deepEqual(
      [validated.code, validated.err.split('\n').at(-1)],
      [0, 'the options are valid: 20 optimizer steps, 10 in each epoch'],
    );
    assert.equal((await cli(home, 'schedule', 'delete', 'falling')).code, 0);
    assert.equal((await cli(home, 'schedule', 'get', 'falling')).code, 4);
  });

  await t.test('doctor finds the services of `up`', async () => {
    const { out } = await cli(home, 'doctor', '--json');
    const checks = JSON.parse(out) as { name: string; outcome: string }[];
    for (const name of ['store', 'data', 'scheduler', 'trainer', 'evaluator', 'pixels', 'engine native']) {
      assert.equal(checks.find((check) => check.name === name)?.outcome.replace('warn', 'ok'), 'ok', name);
    }
  });

  await t.test('Ctrl-C without a terminal detaches: 130, and the run goes on', async () => {
    const started = await trainOne('--run_id', 'long', '--epochs', '400', '--disable_eval', 'true', '--save_ckpt_freq', '400', '--detach');
    assert.deepEqual([started.code, started.out], [0, 'projects/default/runs/long']);
    const watch = cliProcess(home, 'runs', 'watch', 'long');
    await until('a step', () => watch.lines.some((line) => /step [\d,]+\//.test(line) || /^ +\d+ +[\d.]+/.test(line)));
    watch.child.kill('SIGINT');
    const [code] = await watch.exit;
    assert.equal(code, 130, watch.lines.join('\n'));
    assert.match(watch.lines.join('\n'), /detached; the run continues/);
    assert.match((await cli(home, 'runs', 'get', 'long')).out, /state +RUNNING/);
    assert.equal((await cli(home, 'runs', 'pause', 'long')).code, 0);
    await until('the pause', async () => (await cli(home, 'runs', 'get', 'long')).out.includes('PAUSED'));
    assert.equal((await cli(home, 'runs', 'cancel', 'long')).code, 0);
    assert.equal((await cli(home, 'runs', 'delete', 'long')).code, 0);
  });
});

test('up starts everything, brings back what dies, refuses a second one, and leaves nothing behind', async () => {
  const home = await mkdtemp(join(tmpdir(), 'dropstream-home-'));
  const env = { DROPSTREAM_HOME: home };
  const up = cliProcess(env, 'up', '--json', '--data-replicas', '2', '--log-level', 'error');
  try {
    const state = await until('the addresses', () => {
      const line = up.lines.find((text) => text.startsWith('{'));
      return line === undefined ? undefined : (JSON.parse(line) as UpState);
    });
    assert.deepEqual(state.services.map((s) => s.name).sort(), ['data-1', 'data-2', 'evaluator', 'scheduler', 'trainer']);
    assert.deepEqual(readUpState(home), state);
    for (const { admin } of [...state.services, state.gateway!]) assert.equal((await fetch(`${admin}/readyz`)).status, 200);
    const listed = await fetch(`${state.gateway!.url}/dropstream.v1.TrainerService/ListRuns`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"parent":"projects/default"}',
    });
    assert.deepEqual([listed.status, await listed.json()], [200, {}], 'the gateway knows the addresses of the others');
    const open = (await readdir(home, { recursive: true })).filter((name) => {
      const found = statSync(join(home, name), { throwIfNoEntry: false });
      return found && (found.mode & 0o077) !== 0;
    });
    assert.deepEqual(open, [], 'nobody else may read what is there');

    const second = await cli(env, 'up');
    assert.equal(second.code, 5, second.err);

    const trainer = state.services.find((s) => s.service === 'trainer')!;
    const log = await readFile(join(home, 'logs', 'trainer.log'), 'utf8');
    process.kill(Number(/"pid":(\d+)/.exec(log)?.[1]), 'SIGKILL');
    await until('the restart', () => up.lines.some((line) => line.startsWith('trainer was restarted')));
    assert.ok(up.lines.some((line) => line.startsWith('trainer crashed (SIGKILL)')));
    assert.equal((await fetch(`${trainer.admin}/readyz`)).status, 200, 'on the same port');

    up.child.kill('SIGTERM');
    const [code] = await up.exit;
    assert.equal(code, 0, up.lines.join('\n'));
    assert.equal(readUpState(home), undefined);
    for (const { admin } of [...state.services, state.gateway!]) await assert.rejects(fetch(`${admin}/livez`));
  } finally {
    up.child.kill('SIGKILL');
    await rm(home, { recursive: true, force: true });
  }
});
