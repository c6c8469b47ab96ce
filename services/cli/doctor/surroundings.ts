/** Checks the object store and the services by using them as a client would. */
import { InvalidArgument } from '#errors/errors.js';
import { credentialsOf } from '#rpc/caller-credentials.js';
import { openChannel } from '#rpc/channel.js';
import type { ConnectOptions } from '#rpc/client.js';
import { fromServiceError } from '#rpc/status.js';
import { openStore } from '#storage/open-store.js';
import { addressOf, type ServiceName, storeOf } from '../addresses.js';
import { callerOf } from '../caller.js';
import type { Check } from '../commands/doctor.js';
import type { Context } from '../context.js';
import { describeError } from '../exit-codes.js';

const TIMEOUT_MS = 5000;

/** Opens the store and, for S3, checks that it enforces exclusive creates. */
export async function storeCheck(flag: string | undefined, context: Context): Promise<Check[]> {
  const name = 'store';
  let uri: string;
  try {
    uri = storeOf(flag, context);
  } catch {
    return [{ name, outcome: 'skip', detail: 'no store was given, and no `dropstream up` is running' }];
  }
  try {
    const store = await openStore(uri, { env: context.env, signal: AbortSignal.timeout(TIMEOUT_MS) });
    await store.close();
    return [{ name, outcome: 'ok', detail: uri }];
  } catch (error) {
    return [{ name, outcome: 'fail', detail: `${uri}: ${(error as Error).message}` }];
  }
}

export async function serviceCheck(service: ServiceName, flag: string | undefined, context: Context): Promise<Check[]> {
  let addresses: string[];
  try {
    addresses = addressOf(service, flag, context).split(',');
  } catch (error) {
    if (error instanceof InvalidArgument) return [{ name: service, outcome: 'fail', detail: describeError(error) }];
    return [{ name: service, outcome: 'skip', detail: 'no address was given, and no `dropstream up` is running' }];
  }
  return Promise.all(
    addresses.map(async (address): Promise<Check> => {
      try {
        const serving = await health(address, callerOf(context, address));
        return {
          name: service,
          outcome: serving ? 'ok' : 'fail',
          detail: `${address} ${serving ? 'serves' : 'reports that it does not serve'}`,
        };
      } catch (error) {
        return { name: service, outcome: 'fail', detail: (error as Error).message };
      }
    }),
  );
}

/** Calls grpc.health.v1.Health/Check for the whole server: an empty request; the answer has one field, an enum in which 1 is SERVING. */
export async function health(address: string, { tls }: Pick<ConnectOptions, 'tls'> = {}): Promise<boolean> {
  const { client, where } = openChannel(address, credentialsOf(tls));
  return await new Promise<boolean>((resolve, reject) => {
    client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      () => Buffer.alloc(0),
      (bytes) => bytes[0] === 0x08 && bytes[1] === 1,
      undefined,
      { deadline: Date.now() + TIMEOUT_MS },
      (error, serving) => (error ? reject(fromServiceError(error, 'Check', where())) : resolve(serving === true)),
    );
  }).finally(() => client.close());
}
