/** The comments in the protos, by the full name of what they stand before. */
import type { DescFile } from '@bufbuild/protobuf';
import type { DescriptorProto, EnumDescriptorProto } from '@bufbuild/protobuf/wkt';

/** Numbers of fields in descriptor.proto, of which the paths of locations consist. */
const inFile = { messages: 4, enums: 5, services: 6 } as const;
const inMessage = { fields: 2, messages: 3, enums: 4 } as const;
const firstList = 2;

export function commentsOf(file: DescFile): ReadonlyMap<string, string> {
  const byPath = new Map<string, string>();
  for (const { path, leadingComments } of file.proto.sourceCodeInfo?.location ?? [])
    if (leadingComments) byPath.set(path.join('.'), asLine(leadingComments));
  const named = new Map<string, string>();
  const add = (name: string, path: readonly number[]): void => {
    const comment = byPath.get(path.join('.'));
    if (comment !== undefined) named.set(name, comment);
  };
  const addEnum = (scope: string, { name, value }: EnumDescriptorProto, path: readonly number[]): void => {
    add(`${scope}.${name}`, path);
    for (const [i, one] of value.entries()) add(`${scope}.${name}.${one.name}`, [...path, firstList, i]);
  };
  const addMessage = (scope: string, message: DescriptorProto, path: readonly number[]): void => {
    const name = `${scope}.${message.name}`;
    add(name, path);
    for (const [i, field] of message.field.entries()) add(`${name}.${field.name}`, [...path, inMessage.fields, i]);
    for (const [i, nested] of message.nestedType.entries()) addMessage(name, nested, [...path, inMessage.messages, i]);
    for (const [i, nested] of message.enumType.entries()) addEnum(name, nested, [...path, inMessage.enums, i]);
  };
  const scope = file.proto.package;
  for (const [i, message] of file.proto.messageType.entries()) addMessage(scope, message, [inFile.messages, i]);
  for (const [i, one] of file.proto.enumType.entries()) addEnum(scope, one, [inFile.enums, i]);
  for (const [i, service] of file.proto.service.entries()) {
    const name = `${scope}.${service.name}`;
    add(name, [inFile.services, i]);
    for (const [j, method] of service.method.entries()) add(`${name}.${method.name}`, [inFile.services, i, firstList, j]);
  }
  return named;
}

const asLine = (comment: string): string => comment.trim().replace(/\s+/g, ' ');
