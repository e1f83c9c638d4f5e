/** Does `body` for each item, so many at a time. After a failure nothing more is begun; what is under way is waited for, and the first failure is thrown. */
export async function abreast<Item>(
  items: Iterable<Item>,
  width: number,
  body: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const drive = async (): Promise<void> => {
    for (let next = queue.next(); failure === undefined && next.done !== true; next = queue.next()) {
      try {
        await body(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: width }, drive));
  if (failure !== undefined) throw failure.error;
}
