/** The reference of the RPCs: one page for each file of proto/dropstream/v1, and an index. */
import { cell, code, generatedFrom, table } from './markdown.js';
import type { ProtoField, ProtoFile } from './proto-image.js';

/** Pages by file name. @throws Error where two declarations of a page would share a heading */
export function referencePages(files: readonly ProtoFile[]): Map<string, string> {
  const pageOf = new Map<string, string>();
  for (const file of files) for (const { name } of [...file.messages, ...file.enums]) pageOf.set(`dropstream.v1.${name}`, pageName(file));
  const pages = new Map<string, string>([['README.md', indexPage(files)]]);
  for (const file of files) pages.set(pageName(file), page(file, pageOf));
  return pages;
}

const pageName = ({ name }: ProtoFile): string => `${baseName(name).replaceAll('_', '-')}.md`;
const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1).replace(/\.proto$/, '');
const source = ({ name }: ProtoFile): string => `[proto/${name}](../../proto/${name})`;
const anchor = (name: string): string => name.toLowerCase();
const paragraph = (comment: string): string => cell(comment).replaceAll('\\|', '|');

function indexPage(files: readonly ProtoFile[]): string {
  const rows = files.flatMap((file) =>
    file.services.flatMap((service) =>
      service.methods.map((method) => [
        `[${service.name}.${method.name}](${pageName(file)}#${anchor(method.name)})`,
        method.streams ? 'stream' : 'one answer',
        cell(method.comment),
      ]),
    ),
  );
  const shared = files.filter(({ services }) => services.length === 0).map((file) => `[${pageName(file)}](${pageName(file)})`);
  return lines(
    generatedFrom('proto/'),
    '# Reference',
    '',
    'These pages are made from the sources. They list every RPC, message and enum of the services, every option of the services, and every metric.',
    '[Clients](../clients.md) explains how to call the services and how errors look.',
    '',
    '- [Options of the services](service-options.md)',
    '- [Metrics](metrics.md)',
    '- [Permissions](permissions.md): which role may call what',
    `- Types that several services share: ${shared.join(', ')}`,
    '',
    ...table(['RPC', 'answers with', 'what it does'], rows),
  );
}

function page(file: ProtoFile, pageOf: ReadonlyMap<string, string>): string {
  const here = pageName(file);
  const link = (type: string): string => {
    const name = type.slice(type.lastIndexOf('.') + 1);
    const target = pageOf.get(type);
    return target === undefined ? code(type.includes('.') ? type : name) : `[${name}](${target === here ? '' : target}#${anchor(name)})`;
  };
  const out = [
    generatedFrom(`proto/${file.name}`),
    `# ${file.services[0]?.name ?? baseName(file.name)}`,
    '',
    `Source: ${source(file)}. Package \`dropstream.v1\`.`,
  ];
  const headings = new Set<string>();
  const heading = (level: string, name: string): string => {
    if (headings.has(anchor(name))) throw new Error(`${file.name}: two declarations are called ${name}`);
    headings.add(anchor(name));
    return `${level} ${name}`;
  };
  for (const service of file.services) {
    out.push('', paragraph(service.comment), '', '## RPCs');
    for (const { name, comment, request, response, streams } of service.methods) {
      out.push('', heading('###', name), '', paragraph(comment));
      out.push('', `Takes ${link(request)}, answers with ${streams ? 'a stream of ' : ''}${link(response)}.`);
    }
  }
  if (file.messages.length > 0) out.push('', '## Messages');
  for (const { name, comment, fields } of file.messages) {
    out.push('', heading('###', name), '', paragraph(comment));
    if (fields.length === 0) continue;
    const rows = fields.map((field) => [code(field.name), String(field.number), fieldType(field, link), cell(field.comment)]);
    out.push('', ...table(['field', 'number', 'type', 'meaning'], rows));
  }
  if (file.enums.length > 0) out.push('', '## Enums');
  for (const { name, comment, values } of file.enums) {
    out.push('', heading('###', name), '', paragraph(comment), '');
    out.push(
      ...table(
        ['value', 'number', 'meaning'],
        values.map((value) => [code(value.name), String(value.number), cell(value.comment)]),
      ),
    );
  }
  return lines(...out);
}

function fieldType({ type, repeated, optional, oneof }: ProtoField, link: (type: string) => string): string {
  const name = type.includes('.') ? link(type) : type;
  if (oneof !== undefined) return `${name}, one of ${code(oneof)}`;
  return repeated ? `repeated ${name}` : optional ? `optional ${name}` : name;
}

const lines = (...text: readonly string[]): string => `${text.join('\n')}\n`;
