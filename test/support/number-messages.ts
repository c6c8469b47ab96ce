/** Messages of one small number, for tests whose services say hardly anything. */
export const numberMessages = {
  requestSerialize: (m: { n: number }) => Buffer.from([m.n]),
  requestDeserialize: (b: Buffer) => ({ n: b[0] ?? 0 }),
  responseSerialize: (m: { n: number }) => Buffer.from([m.n]),
  responseDeserialize: (b: Buffer) => ({ n: b[0] ?? 0 }),
};
