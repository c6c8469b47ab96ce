/** proto/dropstream as buf describes it (a FileDescriptorSet in JSON, comments included), reduced to what the reference shows. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface ProtoFile {
  /** e.g. `dropstream/v1/data.proto`. */
  readonly name: string;
  readonly services: readonly ProtoService[];
  readonly messages: readonly ProtoMessage[];
  readonly enums: readonly ProtoEnum[];
}
export interface ProtoService {
  readonly name: string;
  readonly comment: string;
  readonly methods: readonly ProtoMethod[];
}
export interface ProtoMethod {
  readonly name: string;
  readonly comment: string;
  /** Full names, e.g. `dropstream.v1.GetBatchRequest`. */
  readonly request: string;
  readonly response: string;
  readonly streams: boolean;
}
export interface ProtoMessage {
  readonly name: string;
  readonly comment: string;
  readonly fields: readonly ProtoField[];
}
export interface ProtoField {
  readonly name: string;
  readonly number: number;
  readonly comment: string;
  /** A scalar such as `uint32`, or the full name of a message or enum. */
  readonly type: string;
  readonly repeated: boolean;
  /** True where absence is told apart from the default. */
  readonly optional: boolean;
  /** Name of the oneof that the field belongs to. */
  readonly oneof?: string;
}
export interface ProtoEnum {
  readonly name: string;
  readonly comment: string;
  readonly values: readonly { readonly name: string; readonly number: number; readonly comment: string }[];
}

interface Field {
  name: string;
  number: number;
  type: string;
  label?: string;
  typeName?: string;
  oneofIndex?: number;
  proto3Optional?: boolean;
}
interface Message {
  name: string;
  field?: Field[];
  oneofDecl?: { name: string }[];
  nestedType?: { name: string; options?: { mapEntry?: boolean }; field?: Field[] }[];
  enumType?: { name: string }[];
}
export interface FileDescriptor {
  name: string;
  package?: string;
  messageType?: Message[];
  enumType?: { name: string; value: { name: string; number?: number }[] }[];
  service?: { name: string; method?: { name: string; inputType: string; outputType: string; serverStreaming?: boolean }[] }[];
  sourceCodeInfo?: { location?: { path?: number[]; leadingComments?: string }[] };
}

/** The project's own files, in order of their names. */
export async function readProtos(root: string): Promise<ProtoFile[]> {
  const buf = join(root, 'node_modules/.bin/buf');
  const { stdout } = await promisify(execFile)(buf, ['build', '-o', '-#format=json'], { cwd: root, maxBuffer: 64 << 20, timeout: 60_000 });
  const { file } = JSON.parse(stdout) as { file: FileDescriptor[] };
  return file
    .filter(({ name }) => name.startsWith('dropstream/'))
    .map(protoFile)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws Error where a declaration has no comment, or is nested: the reference has no place for it */
export function protoFile(file: FileDescriptor): ProtoFile {
  const comments = new Map<string, string>();
  for (const { path, leadingComments } of file.sourceCodeInfo?.location ?? []) {
    if (path && leadingComments) comments.set(path.join('.'), leadingComments.trim());
  }
  const commentAt = (name: string, ...path: number[]): string => {
    const comment = comments.get(path.join('.'));
    if (comment === undefined) throw new Error(`${file.name}: ${name} has no comment`);
    return comment;
  };
  const typeOf = ({ type, typeName }: Field): string => typeName?.slice(1) ?? type.slice('TYPE_'.length).toLowerCase();
  // The numbers are those of FileDescriptorProto's fields: 4 message_type, 5 enum_type, 6 service; inside them 2 field, value, method.
  return {
    name: file.name,
    services: (file.service ?? []).map(({ name, method = [] }, s) => ({
      name,
      comment: commentAt(name, 6, s),
      methods: method.map((m, i) => ({
        name: m.name,
        comment: commentAt(`${name}.${m.name}`, 6, s, 2, i),
        request: m.inputType.slice(1),
        response: m.outputType.slice(1),
        streams: m.serverStreaming === true,
      })),
    })),
    messages: (file.messageType ?? []).map(({ name, field = [], oneofDecl = [], nestedType, enumType }, m) => {
      // The compiler nests one message in this for each map: its key and its value.
      const maps = new Map(
        (nestedType ?? [])
          .filter(({ options }) => options?.mapEntry)
          .map((entry) => [`.${file.package}.${name}.${entry.name}`, `map<${(entry.field ?? []).map(typeOf).join(', ')}>`]),
      );
      if (maps.size < (nestedType ?? []).length || enumType) throw new Error(`${file.name}: ${name} declares types inside itself`);
      return {
        name,
        comment: commentAt(name, 4, m),
        fields: field.map((f, i) => ({
          name: f.name,
          number: f.number,
          comment: commentAt(`${name}.${f.name}`, 4, m, 2, i),
          type: maps.get(f.typeName ?? '') ?? typeOf(f),
          repeated: f.label === 'LABEL_REPEATED' && !maps.has(f.typeName ?? ''),
          optional: f.proto3Optional === true,
          ...(f.oneofIndex !== undefined && !f.proto3Optional && { oneof: oneofDecl[f.oneofIndex]!.name }),
        })),
      };
    }),
    enums: (file.enumType ?? []).map(({ name, value }, e) => ({
      name,
      comment: commentAt(name, 5, e),
      values: value.map((v, i) => ({ name: v.name, number: v.number ?? 0, comment: commentAt(v.name, 5, e, 2, i) })),
    })),
  };
}
