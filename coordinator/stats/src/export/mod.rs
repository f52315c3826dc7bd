//! Tables and curves as text. Equal input gives equal bytes; whoever calls writes
//! the files.

pub mod csv;
pub mod json;
pub mod latex;
pub mod markdown;
pub mod results;
pub mod svg;

mod text;

pub use csv::csv;
pub use json::json;
pub use latex::latex;
pub use markdown::markdown;
pub use results::results_json;
pub use svg::svg;
