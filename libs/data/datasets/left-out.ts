/** How much of a data set may be left out when it is indexed. The rule is that of a run's max_undecodable: a share of all images. */
import { invalid } from '#errors/errors.js';

const DEFAULT_SHARE = 0.001;
const SHOWN = 20;

/**
 * @param samples those that can be read
 * @throws InvalidArgument that names the first files and why, where more than the share are left out
 */
export function checkLeftOut(
  skipped: readonly { readonly path: string; readonly reason: string }[],
  samples: number,
  place: string,
  share = DEFAULT_SHARE,
): void {
  const allowed = Math.floor(share * (samples + skipped.length));
  if (skipped.length <= allowed) return;
  const first = skipped.slice(0, SHOWN).map(({ path, reason }) => `${path}: ${reason}`);
  const more = skipped.length > SHOWN ? `; and ${skipped.length - SHOWN} more` : '';
  throw invalid(
    'data_path',
    place,
    `a data set of which at most ${allowed} of ${samples + skipped.length} images cannot be read; ${skipped.length} cannot. Repair or remove them, or allow a larger share with --max_undecodable: ${first.join('; ')}${more}`,
  );
}
