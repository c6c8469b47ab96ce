// A reporter for Node's test runner: one JSON object with the number of passed tests, the failed ones and the skipped ones with their reasons.
export default async function* summary(events) {
  let passed = 0;
  const failed = [];
  const skipped = [];
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // A suite counts only where it is skipped: its tests are not reported then.
    if (data.details?.type === 'suite' && data.skip === undefined) continue;
    const name = `${data.file?.replace(`${process.cwd()}/`, '') ?? ''} ${data.name}`.trim();
    if (data.skip !== undefined)
      skipped.push({ name, why: typeof data.skip === 'string' && data.skip !== '' ? data.skip : 'no reason given' });
    else if (type === 'test:fail') failed.push(name);
    else passed++;
  }
  yield JSON.stringify({ passed, failed, skipped });
}
