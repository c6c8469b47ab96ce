/** What the protos say about requests: fields of messages by name, from the descriptors that reflection serves. */
import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';

export interface Field {
  readonly number: number;
  readonly name: string;
  readonly type: FieldDescriptorProto_Type;
  readonly repeated: boolean;
  /** Of a message or an enum, with a dot before it. */
  readonly typeName: string;
}

export type Message = ReadonlyMap<number, Field>;

export class Schema {
  readonly #messages = new Map<string, Message>();
  /** Full names of request messages by method, e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly requests = new Map<string, string>();

  private constructor(files: readonly FileDescriptorProto[]) {
    for (const file of files) {
      for (const message of file.messageType) this.#add(`.${file.package}`, message);
      for (const { name, method } of file.service)
        for (const one of method) this.requests.set(`${file.package}.${name}/${one.name}`, one.inputType);
    }
  }

  static read(): Schema {
    const bytes = readFileSync(new URL('../../libs/protocol/descriptors.binpb', import.meta.url));
    return new Schema(fromBinary(FileDescriptorSetSchema, bytes).file);
  }

  /** The fields of a message; none for one that is not known. */
  message(name: string): Message {
    return this.#messages.get(name) ?? new Map();
  }

  #add(scope: string, message: DescriptorProto): void {
    const name = `${scope}.${message.name}`;
    const fields = message.field.map((field) => ({
      number: field.number,
      name: field.name,
      type: field.type,
      repeated: field.label === 3,
      typeName: field.typeName,
    }));
    this.#messages.set(name, new Map(fields.map((field) => [field.number, field])));
    for (const nested of message.nestedType) this.#add(name, nested);
  }
}
