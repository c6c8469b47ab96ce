/** All evaluations of a project. They come in the order of their names, which says nothing about their age, so the first page is no answer. */
import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import { call } from './call.js';
import type { Json } from './json.js';

const PAGE_SIZE = 1000;
/** A project with more evaluations is shown without the others. */
const MOST_PAGES = 20;

/** `classes`: with the counts of images by class, which are most of the bytes. Yields pages, so that nobody has to hold all of them. @throws RpcError */
export async function* evaluationPages(
  parent: string,
  { signal, classes = false }: { readonly signal: AbortSignal; readonly classes?: boolean },
): AsyncGenerator<readonly Json<Evaluation>[]> {
  let pageToken = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call(
      'EvaluatorService/ListEvaluations',
      { parent, pageSize: PAGE_SIZE, pageToken, omitClassCounts: !classes },
      { signal },
    );
    yield answer.evaluations ?? [];
    pageToken = answer.nextPageToken ?? '';
    if (pageToken === '') return;
  }
}
