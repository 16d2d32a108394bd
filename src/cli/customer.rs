//! `usher customer`, but for the import.

use anyhow::Result;
use clap::Subcommand;

use crate::{
    cli::{ListOptions, change_one, explain, import, ready, say, table},
    config,
    db::statements,
    domain::{id::CustomerCode, name},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all customers.
    List(ListOptions),
    /// Add a customer.
    Add {
        /// What the caller keys in: 1 to 16 digits.
        #[arg(value_parser = CustomerCode::parse)]
        code: CustomerCode,
        /// Name as agents read it: 1 to 200 characters.
        #[arg(value_parser = name::customer)]
        name: String,
    },
    /// Change a customer; what is not given stays.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Change {
        /// Which one.
        #[arg(value_parser = CustomerCode::parse)]
        code: CustomerCode,
        /// Another code.
        #[arg(long = "code", group = "what", value_name = "CODE", value_parser = CustomerCode::parse)]
        new_code: Option<CustomerCode>,
        /// Another name.
        #[arg(long, group = "what", value_parser = name::customer)]
        name: Option<String>,
    },
    /// Remove a customer. The history of calls stays.
    Remove {
        /// Which one.
        #[arg(value_parser = CustomerCode::parse)]
        code: CustomerCode,
    },
    /// Add and rename customers from a CSV file, all or nothing.
    Import(import::Arguments),
}

pub(super) async fn run(command: Command, database: &config::Database) -> Result<()> {
    let mut single = ready(database).await?;
    let client = &single.client;
    let missing = |code: &CustomerCode| format!("there is no customer with code {code}: see `usher customer list`");
    match command {
        Command::List(options) => table::print(client, statements::CUSTOMER_LIST, &options).await,
        Command::Add { code, name } => {
            client.execute(statements::CUSTOMER_ADD, &[&code.as_str(), &name]).await.map_err(explain)?;
            say(&format!("customer {code} added"))
        }
        Command::Change { code, new_code, name } => {
            let new_code = new_code.as_ref().map(CustomerCode::as_str);
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&code.as_str(), &new_code, &name];
            change_one(client, statements::CUSTOMER_CHANGE, &values, &missing(&code)).await?;
            say(&format!("customer {code} changed"))
        }
        Command::Remove { code } => {
            change_one(client, statements::CUSTOMER_REMOVE, &[&code.as_str()], &missing(&code)).await?;
            say(&format!("customer {code} removed"))
        }
        Command::Import(arguments) => import::run(&arguments, &mut single.client).await,
    }
}
