//! Makes a case shorter for as long as it still shows the difference.

use super::case::Step;

/// Leaves out stretches of steps, long ones first, then single ones, as long as `differs` holds.
pub(crate) fn shrink(mut steps: Vec<Step>, differs: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut length = steps.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < steps.len() {
            let end = (at + length).min(steps.len());
            let fewer = [&steps[..at], &steps[end..]].concat();
            if differs(&fewer) {
                steps = fewer;
            } else {
                at = end;
            }
        }
        length /= 2;
    }
    steps
}
