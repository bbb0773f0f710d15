/** How much of a terminal's line text takes. */

const none = /^[\p{Mn}\p{Me}\p{Cf}]$/u
/** East Asian wide and full-width characters (Unicode's annex 11), and emoji. */
const wide =
  /^(?![\uff61-\uffdc])(?:[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}\p{Emoji_Presentation}]|[\u1100-\u115f\u3000-\u303e\uac00-\ud7a3\uff01-\uff60\uffe0-\uffe6])$/u

const columnsOfChar = (char: string): number => (char < '\u0300' ? 1 : none.test(char) ? 0 : wide.test(char) ? 2 : 1)

export const columnsOf = (text: string): number => {
  let columns = 0
  for (const char of text) columns += columnsOfChar(char)
  return columns
}

/** As much of it from its begin as fits. */
export const fitting = (text: string, columns: number): string => {
  let used = 0
  let length = 0
  for (const char of text) {
    used += columnsOfChar(char)
    if (used > columns) return text.slice(0, length)
    length += char.length
  }
  return text
}
