/** Whether the gateway answers. Every call tells; the banner and the pages show it. */
import { store } from '../widgets/store.js';

export interface Connection {
  /** When the gateway stopped to answer; undefined while it answers. */
  readonly awaySince: Date | undefined;
}

export const connection = store<Connection>({ awaySince: undefined });

export function tellConnection(answered: boolean): void {
  const { awaySince } = connection.get();
  if (answered && awaySince !== undefined) connection.set({ awaySince: undefined });
  if (!answered && awaySince === undefined) connection.set({ awaySince: new Date() });
}
