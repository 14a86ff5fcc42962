// Activation scratchpad: 16 banks of 1R1W memory, bank = word address mod 16, behind a read and a write crossbar.
// Does: serve, every cycle, one read address and one write address per bank. The first read lanes, Operands of them,
// are always granted: their user sends no two rows of one bank at once. The other lanes get what these leave free, a
// lane with a lower index first; read lanes with the same address share one read.
// Does not: order a read and a write of the same word that are granted in the same cycle (the read gives the old
// word), remember requests that were not granted, or clear its words.
// Latency: three cycles from a granted read to its word, on rd_data_o while rd_word_o is high; a write is read by what
// is granted after it.
// Handshake: requests come from registers, grant is combinational from valid and addr of the same cycle; valid must not
// depend on grant. A lane that is not granted holds its request.
`default_nettype none
module vla_act_memory #(
  parameter Block    = 16,      // B, bytes of a word
  parameter ActWords = 131072,  // words
  parameter Operands = 8,       // read lanes that are never refused
  parameter Readers  = 22,      // read lanes, these included
  parameter Writers  = 8        // write lanes
) (
  input  wire                                 clk_i,
  input  wire                                 rst_i,
  // read lanes
  input  wire [Readers-1:0]                   rd_valid_i,
  input  wire [Readers*$clog2(ActWords)-1:0]  rd_addr_i,
  output wire [Readers-1:0]                   rd_grant_o,
  output wire [Readers-1:0]                   rd_word_o,
  output wire [Readers*8*Block-1:0]           rd_data_o,
  // write lanes
  input  wire [Writers-1:0]                   wr_valid_i,
  input  wire [Writers*$clog2(ActWords)-1:0]  wr_addr_i,
  input  wire [Writers*8*Block-1:0]           wr_data_i,
  output wire [Writers-1:0]                   wr_grant_o
);

  localparam Banks    = 16;
  localparam WordBits = 8 * Block;
  localparam ActAw    = $clog2(ActWords);
  localparam RowAw    = ActAw - 4;       // address inside a bank

  // ---- grants: a lane loses to any lower one that asks for another row of its bank ----
  genvar g, h, b;
  generate
    for (g = 0; g < Readers; g = g + 1) begin : g_read_grant
      wire [Readers-1:0] loses;
      for (h = 0; h < Readers; h = h + 1) begin : g_other
        if (g < Operands || h >= g) begin : g_higher
          assign loses[h] = 1'b0;
        end else begin : g_lower
          wire same_bank = rd_addr_i[h*ActAw +: 4] == rd_addr_i[g*ActAw +: 4];
          wire same_row  = h >= Operands && rd_addr_i[h*ActAw + 4 +: RowAw] == rd_addr_i[g*ActAw + 4 +: RowAw];
          assign loses[h] = rd_valid_i[h] && same_bank && !same_row;
        end
      end
      assign rd_grant_o[g] = rd_valid_i[g] && loses == {Readers{1'b0}};
    end

    for (g = 0; g < Writers; g = g + 1) begin : g_write_grant
      wire [Writers-1:0] loses;
      for (h = 0; h < Writers; h = h + 1) begin : g_other
        assign loses[h] = h < g && wr_valid_i[h] && wr_addr_i[h*ActAw +: 4] == wr_addr_i[g*ActAw +: 4];
      end
      assign wr_grant_o[g] = wr_valid_i[g] && loses == {Writers{1'b0}};
    end
  endgenerate

  // ---- what was granted, a cycle later ----
  reg  [Readers-1:0]          rd_go_q;
  reg  [Readers*ActAw-1:0]    rd_addr_q;
  reg  [Writers-1:0]          wr_go_q;
  reg  [Writers*ActAw-1:0]    wr_addr_q;
  reg  [Writers*WordBits-1:0] wr_data_q;
  always @(posedge clk_i) begin
    rd_go_q   <= rst_i ? {Readers{1'b0}} : rd_grant_o;
    wr_go_q   <= rst_i ? {Writers{1'b0}} : wr_grant_o;
    rd_addr_q <= rd_addr_i;
    wr_addr_q <= wr_addr_i;
    wr_data_q <= wr_data_i;
  end

  // The address or word of the lane picked, by AND and OR: none or several picked with one value are fine.
  function [RowAw-1:0] read_row;
    input [Readers-1:0]       pick;
    input [Readers*ActAw-1:0] addr;
    integer i;
    begin
      read_row = {RowAw{1'b0}};
      for (i = 0; i < Readers; i = i + 1) read_row = read_row | ({RowAw{pick[i]}} & addr[i*ActAw + 4 +: RowAw]);
    end
  endfunction
  function [RowAw-1:0] write_row;
    input [Writers-1:0]       pick;
    input [Writers*ActAw-1:0] addr;
    integer i;
    begin
      write_row = {RowAw{1'b0}};
      for (i = 0; i < Writers; i = i + 1) write_row = write_row | ({RowAw{pick[i]}} & addr[i*ActAw + 4 +: RowAw]);
    end
  endfunction
  function [WordBits-1:0] write_word;
    input [Writers-1:0]          pick;
    input [Writers*WordBits-1:0] data;
    integer i;
    begin
      write_word = {WordBits{1'b0}};
      for (i = 0; i < Writers; i = i + 1) write_word = write_word | ({WordBits{pick[i]}} & data[i*WordBits +: WordBits]);
    end
  endfunction

  // ---- banks: the word read is in their output register two cycles after its request was picked ----
  wire [WordBits-1:0] bank_data [0:Banks-1];
  generate
    for (b = 0; b < Banks; b = b + 1) begin : g_bank
      wire [Readers-1:0]  rd_pick;
      wire [Writers-1:0]  wr_pick;
      wire [WordBits-1:0] read;
      reg  [WordBits-1:0] read_q;
      for (g = 0; g < Readers; g = g + 1) begin : g_read
        assign rd_pick[g] = rd_go_q[g] && rd_addr_q[g*ActAw +: 4] == b;
      end
      for (g = 0; g < Writers; g = g + 1) begin : g_write
        assign wr_pick[g] = wr_go_q[g] && wr_addr_q[g*ActAw +: 4] == b;
      end
      vla_ram_1r1w #(.Width(WordBits), .Words(ActWords / Banks)) u_ram (
        .clk_i(clk_i),
        .wr_en_i(wr_pick != {Writers{1'b0}}), .wr_addr_i(write_row(wr_pick, wr_addr_q)),
        .wr_data_i(write_word(wr_pick, wr_data_q)),
        .rd_en_i(rd_pick != {Readers{1'b0}}), .rd_addr_i(read_row(rd_pick, rd_addr_q)), .rd_data_o(read)
      );
      assign bank_data[b] = read_q;
      always @(posedge clk_i) read_q <= read;
    end

    for (g = 0; g < Readers; g = g + 1) begin : g_read_lane
      reg [1:0] go_q;
      reg [3:0] bank_q, bank_late_q;  // the bank whose word the lane gets
      always @(posedge clk_i) begin
        go_q        <= rst_i ? 2'b00 : {go_q[0], rd_go_q[g]};
        bank_q      <= rd_addr_q[g*ActAw +: 4];
        bank_late_q <= bank_q;
      end
      assign rd_word_o[g] = go_q[1];
      assign rd_data_o[g*WordBits +: WordBits] = bank_data[bank_late_q];
    end

    if (ActWords < 64 || (ActWords & (ActWords - 1)) != 0) begin : g_check_words
      vla_bad_parameter_act_words_power_of_two u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
