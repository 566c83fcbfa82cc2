// Alarms in plain words of the language shown; what the till says in detail stands beside it.

import { has, t } from "../texts.js";

export function alarmText(alarm) {
  const key = `alarm_${alarm.kind}`;
  return has(key) ? { title: t(key), todo: t(`${key}_do`) } : { title: alarm.detail, todo: alarm.do };
}
