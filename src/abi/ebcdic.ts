/**
 * EBCDIC code page 500 to ASCII, the printable part (control characters become blanks, NL and LF become
 * line feeds). Source: IBM code page 500; 0xAD and 0xBD as in page 1047, where 500 has nothing in ASCII.
 */
const rows: Record<number, string> = {
  64: " ",
  74: "[.<(+!&",
  90: "]$*);^-/",
  107: ",%_>?",
  121: "`:#@'=\"",
  129: "abcdefghi",
  145: "jklmnopqr",
  161: "~stuvwxyz",
  173: "[",
  187: "|",
  189: "]",
  192: "{ABCDEFGHI",
  208: "}JKLMNOPQR",
  224: "\\",
  226: "STUVWXYZ",
  240: "0123456789",
};

const table = new Uint8Array(256).fill(0x20);
for (const [first, text] of Object.entries(rows)) {
  for (let n = 0; n < text.length; n++) table[Number(first) + n] = text.charCodeAt(n);
}
table[0x15] = 0x0a;
table[0x25] = 0x0a;

export const EBCDIC_BLANK = 0x40;

/** LOADPARM as an operator writes it: up to eight letters, digits, dots and blanks; small letters count as capitals. */
export const loadparmForm = /^[a-z0-9. ]{0,8}$/i;

/** LOADPARM as the machine tells it: eight EBCDIC characters, blanks behind it. */
export function loadparmBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(8).fill(EBCDIC_BLANK);
  for (const [n, letter] of [...text.toUpperCase()].entries()) {
    if (letter !== " ") bytes[n] = table.indexOf(letter.charCodeAt(0));
  }
  return bytes;
}

export function ebcdicToAscii(byte: number): number {
  return table[byte & 0xff] as number;
}
