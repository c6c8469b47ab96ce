/** scripts/build-console.mjs puts it in. */
declare const DROPSTREAM_VERSION: string;

/** Of the package that has the console and the gateway which serves it. */
export const version = DROPSTREAM_VERSION;
