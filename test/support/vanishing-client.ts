/** A reader of the data service that stops reading after its first message, for tests that kill it: argv is the address and requests as JSON. */
import { DataServiceClient, GetBatchRequest } from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';

const [address, json] = process.argv.slice(2) as [string, string];
const requests = (JSON.parse(json) as unknown[]).map((request) => GetBatchRequest.fromJSON(request));
const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, address);
const held = await Promise.all(
  requests.map(async (request) => {
    const messages = client.getBatch(request, { timeoutMs: 120_000 })[Symbol.asyncIterator]();
    await messages.next();
    return messages;
  }),
);
process.send!(held.length);
