import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";

test("an instant is the one that was written, in any zone", () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date(8e12), noInvalidDate: true }), (date) => {
      expect(parseInstant(formatInstant(date.getTime()))).toBe(date.getTime());
    }),
  );
  expect(parseInstant("2028-02-29 23:30:00.5-01:00")).toBe(Date.UTC(2028, 2, 1, 0, 30, 0, 500));
});

test.each([
  "2027-02-29T00:00:00Z",
  "2027-02-30T00:00:00Z",
  "2027-04-31T12:00:00+02:00",
  "2027-13-01T00:00:00Z",
  "2027-00-10T00:00:00Z",
  "2027-01-00T00:00:00Z",
  "2027-01-01T24:00:00Z",
  "2027-01-01T23:59:60Z",
  "2027-01-01T00:00:00+24:00",
  "2027-01-01T00:00:00",
  "2027-01-01",
])("%s is none: nobody is to get another day for it", (text) => {
  expect(parseInstant(text)).toBeUndefined();
});
