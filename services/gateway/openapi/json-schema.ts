/** What messages look like as JSON (https://protobuf.dev/programming-guides/json), as JSON Schema. */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';

export type Schema = { [key: string]: unknown };

/** Types whose JSON is not an object with their fields. */
const wellKnown: Readonly<Record<string, Schema>> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Duration': { type: 'string', pattern: '^-?[0-9]+(\\.[0-9]{1,9})?s$' },
  'google.protobuf.FieldMask': { type: 'string', description: 'Names of fields in lowerCamelCase, joined by commas.' },
  'google.protobuf.Any': { type: 'object', required: ['@type'], properties: { '@type': { type: 'string' } }, additionalProperties: true },
};

const integer32 = { type: 'integer', format: 'int32' };
const natural32 = { type: 'integer', format: 'int64', minimum: 0, maximum: 2 ** 32 - 1 };
/** Numbers of 64 bits are text, because JavaScript's numbers cannot hold them. */
const integer64 = { type: 'string', pattern: '^-?[0-9]+$' };
const natural64 = { type: 'string', pattern: '^[0-9]+$' };
/** NaN and the infinities are text. */
const real = (format: string): Schema => ({
  oneOf: [
    { type: 'number', format },
    { type: 'string', enum: ['NaN', 'Infinity', '-Infinity'] },
  ],
});

const scalars: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: real('double'),
  [ScalarType.FLOAT]: real('float'),
  [ScalarType.INT64]: integer64,
  [ScalarType.UINT64]: natural64,
  [ScalarType.INT32]: integer32,
  [ScalarType.FIXED64]: natural64,
  [ScalarType.FIXED32]: natural32,
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BYTES]: { type: 'string', contentEncoding: 'base64' },
  [ScalarType.UINT32]: natural32,
  [ScalarType.SFIXED32]: integer32,
  [ScalarType.SFIXED64]: integer64,
  [ScalarType.SINT32]: integer32,
  [ScalarType.SINT64]: integer64,
};

/** Collects the schemas of the messages and enums that are asked for, and of all that they consist of. */
export class Schemas {
  readonly #found = new Map<string, Schema>();

  constructor(private readonly commentOf: (name: string) => string | undefined) {}

  /** In the order of their names. */
  all(): Record<string, Schema> {
    return Object.fromEntries([...this.#found].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  of(type: DescMessage | DescEnum): Schema {
    const known = wellKnown[type.typeName];
    if (known) return known;
    if (!this.#found.has(type.typeName)) {
      // First a place for it: messages may consist of themselves.
      const schema: Schema = {};
      this.#found.set(type.typeName, schema);
      Object.assign(schema, this.#described(type.typeName, type.kind === 'enum' ? enumSchema(type) : this.#messageSchema(type)));
    }
    return { $ref: `#/components/schemas/${type.typeName}` };
  }

  #messageSchema(message: DescMessage): Schema {
    const properties = message.fields.map((field) => [field.jsonName, this.#fieldSchema(message, field)] as const);
    const oneofs = message.oneofs
      .filter(({ fields }) => fields.length > 1)
      .map(({ fields }) => `At most one of ${fields.map(({ jsonName }) => jsonName).join(', ')} may be set.`);
    return { type: 'object', properties: Object.fromEntries(properties), ...(oneofs.length === 0 ? {} : { $comment: oneofs.join(' ') }) };
  }

  #fieldSchema(message: DescMessage, field: DescField): Schema {
    const schema = ((): Schema => {
      switch (field.fieldKind) {
        case 'scalar':
          return scalars[field.scalar];
        case 'enum':
          return this.of(field.enum);
        case 'message':
          return this.of(field.message);
        case 'list':
          return { type: 'array', items: this.#element(field) };
        case 'map':
          return { type: 'object', additionalProperties: this.#element(field) };
      }
    })();
    return this.#described(`${message.typeName}.${field.name}`, schema);
  }

  #element(field: DescField & { fieldKind: 'list' | 'map' }): Schema {
    if (field.message) return this.of(field.message);
    if (field.enum) return this.of(field.enum);
    return scalars[field.scalar!];
  }

  #described(name: string, schema: Schema): Schema {
    const description = this.commentOf(name);
    return description === undefined ? schema : { description, ...schema };
  }
}

const enumSchema = ({ values }: DescEnum): Schema => ({ type: 'string', enum: values.map(({ name }) => name) });
