// Lanes of the activation scratchpad: a request that is not granted is held; operands ask for one row of a bank.
`default_nettype none
module vla_act_memory_sva #(
  parameter int Block    = 16,
  parameter int ActWords = 64,
  parameter int Operands = 1,
  parameter int Readers  = 1,
  parameter int Writers  = 1
) (
  input wire                                clk_i,
  input wire                                rst_i,
  input wire [Readers-1:0]                  rd_valid_i,
  input wire [Readers*$clog2(ActWords)-1:0] rd_addr_i,
  input wire [Readers-1:0]                  rd_grant_o,
  input wire [Writers-1:0]                  wr_valid_i,
  input wire [Writers*$clog2(ActWords)-1:0] wr_addr_i,
  input wire [Writers*8*Block-1:0]          wr_data_i,
  input wire [Writers-1:0]                  wr_grant_o
);

  vla_stream_sva #(.Lanes(Readers), .Width($clog2(ActWords))) u_read (
    .clk_i, .rst_i, .valid_i(rd_valid_i), .ready_i(rd_grant_o), .payload_i(rd_addr_i)
  );
  vla_stream_sva #(.Lanes(Writers), .Width($clog2(ActWords))) u_write (
    .clk_i, .rst_i, .valid_i(wr_valid_i), .ready_i(wr_grant_o), .payload_i(wr_addr_i)
  );
  vla_stream_sva #(.Lanes(Writers), .Width(8 * Block)) u_write_data (
    .clk_i, .rst_i, .valid_i(wr_valid_i), .ready_i(wr_grant_o), .payload_i(wr_data_i)
  );

  for (genvar r = 0; r < Readers; r++) begin : g_read
    grant_needs_valid : assert property (
      @(posedge clk_i) disable iff (rst_i) rd_grant_o[r] |-> rd_valid_i[r]
    ) else $error("%m: a grant without a request");
  end

  localparam int Aw = $clog2(ActWords);
  for (genvar r = 1; r < Operands; r++) begin : g_operand
    for (genvar s = 0; s < r; s++) begin : g_other
      one_row_of_a_bank : assert property (
        @(posedge clk_i) disable iff (rst_i)
        rd_valid_i[r] && rd_valid_i[s] && rd_addr_i[Aw*r +: 4] == rd_addr_i[Aw*s +: 4]
        |-> rd_addr_i[Aw*r +: Aw] == rd_addr_i[Aw*s +: Aw]
      ) else $error("%m: two operands ask for two rows of a bank");
    end
  end

endmodule

bind vla_act_memory vla_act_memory_sva #(
  .Block   (Block),
  .ActWords(ActWords),
  .Operands(Operands),
  .Readers (Readers),
  .Writers (Writers)
) u_sva (.*);
`default_nettype wire
