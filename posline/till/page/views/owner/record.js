// What the owner has the till record: a day's close, goods, a product, an invitation. It is asked at once, and said when it
// did not work; nothing waits in this browser. Where the shop asks for a role, somebody gives their PIN.

import { Refused, ask, complain, newId, sentence } from "../../calls.js";
import { approval } from "../../people.js";
import { cashier } from "../../state.js";
import { t } from "../../texts.js";
import { useRef } from "../../ui.js";
import { play } from "../../sound.js";

/** The till's answer, or null where it was refused, given up or not answered, which has been said. `id` stays the same
 * while a person tries again: what was recorded and not heard of is recorded once. */
export async function record(path, id, fields, { method = "POST" } = {}) {
  const body = { id, ...(cashier.value ? { by: cashier.value.name } : {}), ...fields };
  try {
    try {
      return await ask(path, { method, body });
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 403) throw error;
      const approve = await approval(why(error.problem));
      if (!approve) return null;
      return await ask(path, { method, body: { ...body, approve } });
    }
  } catch (error) {
    play("error");
    complain(error);
    return null;
  }
}

/** Which role is missing, in words of the language shown; what the till said, where it says more. */
function why(problem) {
  const role = /this needs a (cashier|supervisor|manager)/.exec(problem.detail ?? "")?.[1];
  return role ? t("needs_role", { role: t(`role_${role}`) }) : sentence(problem);
}

/** An id for what a form records. `again()` makes another one, once it is recorded. */
export function useId() {
  const held = useRef(null);
  held.current ??= newId();
  return { get now() { return held.current; }, again: () => (held.current = newId()) };
}
