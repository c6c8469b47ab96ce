/** Fetches images of a batch as PNG files, page by page. */
import type { DataServiceService, PreviewBatchRequest, PreviewImage } from '#protocol/dropstream/v1/data.js';
import type { TypedClient } from '#rpc/client.js';
import type { CallOptions } from '#rpc/connection.js';

/** The first images of the batch, at most `request.limit`. */
export async function previewImages(
  client: TypedClient<typeof DataServiceService>,
  request: Omit<PreviewBatchRequest, 'pageToken'>,
  call: CallOptions,
): Promise<PreviewImage[]> {
  const images: PreviewImage[] = [];
  let pageToken = '';
  do {
    const page = await client.previewBatch({ ...request, limit: request.limit - images.length, pageToken }, call);
    images.push(...page.images);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && images.length < request.limit);
  return images;
}
