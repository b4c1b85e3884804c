//! Findings of the rules: errors and warnings.

/// Findings of the rules.
#[derive(Debug, Default)]
pub struct Findings {
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl Findings {
    /// Adds an error, which must be mended.
    pub fn error(&mut self, finding: String) {
        self.errors.push(finding);
    }

    /// Adds a warning.
    pub fn warn(&mut self, finding: String) {
        self.warnings.push(finding);
    }
}
