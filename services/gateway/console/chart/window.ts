/** The part of a run that charts show, shared by all of a page. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** The window after zooming by `factor` (below 1: closer) around `center`, within `full`; undefined if that is everything. */
export function zoomed(window: Window, full: Window, factor: number, center: number): Window | undefined {
  const from = center - (center - window.from) * factor;
  const to = center + (window.to - center) * factor;
  return within({ from, to }, full);
}

/** The window moved by `share` of its width. */
export function panned(window: Window, full: Window, share: number): Window | undefined {
  const by = Math.min(Math.max((window.to - window.from) * share, full.from - window.from), full.to - window.to);
  return within({ from: window.from + by, to: window.to + by }, full);
}

/** The narrowest window, as a share of everything. */
const NARROWEST = 1e-5;

export function within({ from, to }: Window, full: Window): Window | undefined {
  const least = (full.to - full.from) * NARROWEST;
  const low = Math.max(full.from, from);
  const high = Math.max(low + least, Math.min(full.to, to));
  return low <= full.from && high >= full.to ? undefined : { from: low, to: high };
}
