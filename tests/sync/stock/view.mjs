// What a stock Yjs document shows after updates: reads one JSON line of [updates in base64, root names], prints the arrays.
import * as readline from 'node:readline'
import * as Y from 'yjs'

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [updates, roots] = JSON.parse(line)
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, Buffer.from(update, 'base64'))
  const arrays = Object.fromEntries(roots.map((root) => [root, doc.getArray(root).toArray()]))
  const pending = doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  console.log(JSON.stringify({ arrays, pending, state: Buffer.from(Y.encodeStateVector(doc)).toString('base64') }))
}
