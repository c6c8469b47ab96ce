/** Moments as people say them. */
import { duration } from './numbers.js';

/** `12:03:41`; with the day in front if it is not today. */
export function clock(time: Date, now = new Date()): string {
  const text = time.toLocaleTimeString('en-GB');
  return time.toDateString() === now.toDateString()
    ? text
    : `${time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${text}`;
}

/** `3m 05s ago`. */
export const ago = (time: Date, now = new Date()): string => {
  const seconds = (now.getTime() - time.getTime()) / 1000;
  return seconds < 1 ? 'now' : `${duration(Math.max(1, Math.round(seconds)))} ago`;
};
