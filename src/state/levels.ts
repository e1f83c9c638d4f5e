/** The newest cluster level whose commands this binary understands (S2). */
export const ownLevel = 1;
