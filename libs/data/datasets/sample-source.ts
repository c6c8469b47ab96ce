/** Where the bytes of samples come from: a folder, or objects in a store. */

export interface SourceReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** True where samples that lie beside these will be read soon, so that reading more at once pays. Default false. */
  readonly nearby?: boolean | undefined;
  /** Gives memory of at least so many bytes to read into, not written any more when the promise is settled. Default: fresh memory. */
  readonly allocate?: ((bytes: number) => Uint8Array) | undefined;
}

export interface SampleSource {
  /** The bytes that the manifest names, of each, unchecked; others or fewer where a file has changed. @throws DataLoss when one is gone */
  read(samples: readonly number[], options?: SourceReadOptions): Promise<Uint8Array[]>;
  /** Told that `read` gave other bytes than the manifest's. True: whatever was kept has been dropped, so that reading again may help. */
  forget(sample: number): Promise<boolean>;
  close(): Promise<void>;
}
