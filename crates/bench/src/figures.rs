//! Medians and percentiles.

/// The value below which `share` (0 to 1) of the values lie; 0 without values.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    // Rounded up: the p99 of fifty values is the greatest.
    let index = (0..=last).find(|index| ratio(*index, last.max(1)) >= share).unwrap_or(last);
    sorted.get(index).copied().unwrap_or(0.0)
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The greatest value; 0 without values.
pub(crate) fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// A quotient of counts.
pub(crate) fn ratio(count: usize, of: usize) -> f64 {
    number(count) / number(of)
}

/// A count as a number to calculate with; exact up to 2^32.
pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(median(&values), 51.0);
        assert_eq!(percentile(&values, 0.99), 100.0);
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(greatest(&values), 100.0);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[7.0]), 7.0);
    }
}
