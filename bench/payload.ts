/** The 2 KB JSON object that the bench's upstream answers and its writes carry: a contact with its attributes. */

const contact = {
  type: 'contact',
  id: '5ba682d23d7cf92bef87bfd4',
  workspace_id: 'ecahpwf5',
  external_id: 'f3b87a2e09d514c6c2e79b9a',
  company_id: 'f3b87a2e09d514c6c2e79b9a',
  role: 'user',
  email: 'joe@example.com',
  name: 'Joe Example',
  created_at: 1571672154,
  updated_at: 1571672158,
  custom_attributes: {} as Record<string, string>,
};

for (let index = 0; Buffer.byteLength(JSON.stringify(contact)) < 2000; index += 1) {
  contact.custom_attributes[`enriched_attribute_${index}`] = `value number ${index}`;
}

/** The object, serialized: within a line of 2,048 bytes. */
export const contactJson = Buffer.from(JSON.stringify(contact));
