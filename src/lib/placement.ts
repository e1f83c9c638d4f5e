/** Which of the nodes with room a task goes to: the emptiest, or the fullest. */
export const placements = ["spread", "pack"] as const;

/** See {@link placements}. */
export type Placement = (typeof placements)[number];
